// Printed by `python -m streaming.lane_header` from streaming/lane.py: change that, not this.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lane {

constexpr std::uint64_t MAGIC = 0x504f484345444953;
constexpr std::uint32_t LAYOUT_VERSION = 4;
constexpr std::size_t COUNTERS_OFFSET = 4096;
constexpr std::size_t CONTROL_OFFSET = 8192;
constexpr std::size_t STATISTICS_OFFSET = 12288;
constexpr std::size_t EVENTS_OFFSET = 16384;
constexpr std::uint32_t EVENTS = 1024;
constexpr std::size_t AUDIO_OFFSET = 81920;
constexpr std::size_t NAME_BYTES = 32;
constexpr std::uint32_t OUTPUTS_MAX = 16;
constexpr std::size_t QUERY_SLOTS = 2;
constexpr std::size_t QUERY_BYTES = 12288;
constexpr std::size_t QUERY_STRENGTH_OFFSET = 16;
constexpr std::uint32_t CROSSFADE_SAMPLES = 256;
constexpr double RAMP_S = 0.01;
constexpr double WAIT_LIMIT_S = 30.0;
constexpr std::uint32_t HOP_SAMPLES = 256;
constexpr std::uint32_t WINDOW_LATENCY = 512;
constexpr char PLUGIN_LANE[] = "sidechop-plugin-";

enum EngineState : std::uint32_t {
    ABSENT = 0,
    LOADING = 1,
    READY = 2,
    FAILED = 3,
};

struct Header {
    std::uint64_t magic;
    std::uint32_t layout_version;
    std::uint32_t rate;
    std::uint32_t channels;
    std::uint32_t block;
    std::uint32_t ring_frames;
    std::uint32_t outputs_max;
    std::uint32_t daemon_pid;
    std::uint32_t history_frames;
    std::uint32_t chops_on;
    std::uint32_t flags_on;
    float flags_threshold;
    std::uint32_t fine_version;
    unsigned char gap0[8];
    std::uint32_t engine_state;
    std::uint32_t engine_pid;
    std::uint32_t outputs;
    std::uint32_t has_residual;
    std::uint32_t hop_samples;
    std::uint32_t window_latency;
    std::uint32_t engine_epoch;
    std::uint32_t owner;
    unsigned char gap1[32];
    char names[32];
    unsigned char gap2[864];
    char model[256];
    unsigned char gap3[256];
    char error[1024];
    unsigned char gap4[512];
    std::uint32_t host_latency;
    std::uint32_t host_offline;
    std::uint32_t host_pid;
    std::uint32_t host_slot;
    unsigned char gap5[1008];
};
static_assert(offsetof(Header, magic) == 0);
static_assert(offsetof(Header, layout_version) == 8);
static_assert(offsetof(Header, rate) == 12);
static_assert(offsetof(Header, channels) == 16);
static_assert(offsetof(Header, block) == 20);
static_assert(offsetof(Header, ring_frames) == 24);
static_assert(offsetof(Header, outputs_max) == 28);
static_assert(offsetof(Header, daemon_pid) == 32);
static_assert(offsetof(Header, history_frames) == 36);
static_assert(offsetof(Header, chops_on) == 40);
static_assert(offsetof(Header, flags_on) == 44);
static_assert(offsetof(Header, flags_threshold) == 48);
static_assert(offsetof(Header, fine_version) == 52);
static_assert(offsetof(Header, engine_state) == 64);
static_assert(offsetof(Header, engine_pid) == 68);
static_assert(offsetof(Header, outputs) == 72);
static_assert(offsetof(Header, has_residual) == 76);
static_assert(offsetof(Header, hop_samples) == 80);
static_assert(offsetof(Header, window_latency) == 84);
static_assert(offsetof(Header, engine_epoch) == 88);
static_assert(offsetof(Header, owner) == 92);
static_assert(offsetof(Header, names) == 128);
static_assert(offsetof(Header, model) == 1024);
static_assert(offsetof(Header, error) == 1536);
static_assert(offsetof(Header, host_latency) == 3072);
static_assert(offsetof(Header, host_offline) == 3076);
static_assert(offsetof(Header, host_pid) == 3080);
static_assert(offsetof(Header, host_slot) == 3084);
static_assert(sizeof(Header) == 4096);

struct Counters {
    std::uint64_t in_written;
    std::uint64_t host_blocks;
    std::uint64_t host_misses;
    std::uint64_t host_dry_frames;
    std::uint64_t host_origin;
    unsigned char gap0[24];
    std::uint64_t out_valid_from;
    std::uint64_t out_written;
    std::uint64_t heartbeat_ns;
    std::uint64_t events_written;
    unsigned char gap1[32];
    float meters[17];
    unsigned char gap2[3900];
};
static_assert(offsetof(Counters, in_written) == 0);
static_assert(offsetof(Counters, host_blocks) == 8);
static_assert(offsetof(Counters, host_misses) == 16);
static_assert(offsetof(Counters, host_dry_frames) == 24);
static_assert(offsetof(Counters, host_origin) == 32);
static_assert(offsetof(Counters, out_valid_from) == 64);
static_assert(offsetof(Counters, out_written) == 72);
static_assert(offsetof(Counters, heartbeat_ns) == 80);
static_assert(offsetof(Counters, events_written) == 88);
static_assert(offsetof(Counters, meters) == 128);
static_assert(sizeof(Counters) == 4096);

struct Control {
    float gain[16];
    std::uint32_t mute[16];
    std::uint32_t solo[16];
    float wet;
    std::uint32_t bypass;
};
static_assert(offsetof(Control, gain) == 0);
static_assert(offsetof(Control, mute) == 64);
static_assert(offsetof(Control, solo) == 128);
static_assert(offsetof(Control, wet) == 192);
static_assert(offsetof(Control, bypass) == 196);
static_assert(sizeof(Control) == 200);

struct Statistics {
    std::uint64_t count;
    std::uint64_t sum_ns;
    std::uint64_t max_ns;
    std::uint64_t dropped_hops;
    std::uint64_t bad_samples;
    std::uint32_t histogram[512];
};
static_assert(offsetof(Statistics, count) == 0);
static_assert(offsetof(Statistics, sum_ns) == 8);
static_assert(offsetof(Statistics, max_ns) == 16);
static_assert(offsetof(Statistics, dropped_hops) == 24);
static_assert(offsetof(Statistics, bad_samples) == 32);
static_assert(offsetof(Statistics, histogram) == 40);
static_assert(sizeof(Statistics) == 2088);

struct Event {
    std::uint32_t kind;
    std::uint32_t index;
    std::int64_t start;
    std::int64_t end;
    double score;
    double value;
    char label[16];
    float low_hz;
    float high_hz;
};
static_assert(offsetof(Event, kind) == 0);
static_assert(offsetof(Event, index) == 4);
static_assert(offsetof(Event, start) == 8);
static_assert(offsetof(Event, end) == 16);
static_assert(offsetof(Event, score) == 24);
static_assert(offsetof(Event, value) == 32);
static_assert(offsetof(Event, label) == 40);
static_assert(offsetof(Event, low_hz) == 56);
static_assert(offsetof(Event, high_hz) == 60);
static_assert(sizeof(Event) == 64);

} // namespace lane
