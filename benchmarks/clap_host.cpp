// A small CLAP host for tests and benchmarks: plays a file of float32 stereo frames through one or more instances.
//
//   clap_host plugin=sidechop.clap in=in.f32 out=out.f32 [rate=48000] [block=512] [seed=0] [instances=1]
//             [mode=offline|paced|free] [ready=0] [loops=1] [channels=10] [load=state] [save=state] [set=PARAM:VALUE@FRAME ...]
//
// `out.f32` takes the first `channels` outputs interleaved, `out.f32.1` those of the next instance. With a seed, blocks are of
// random sizes up to `block`. `ready` seconds are waited, with silence, for every engine before the file starts;
// `paced` plays as fast as it sounds, `free` as fast as it goes without telling the plugin. Prints one JSON object:
// latency as told before and after activation, the CPU time that process() took, and what a realtime thread may not
// do: how often it allocated, gave the processor away, and touched a page that was not there.

#include "clap/entry.h"
#include "clap/ext/audio-ports.h"
#include "clap/ext/latency.h"
#include "clap/ext/params.h"
#include "clap/ext/state.h"
#include "clap/host.h"
#include "clap/plugin-factory.h"
#include "clap/plugin.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sched.h>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <vector>

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
}

namespace {

thread_local bool processing = false;
thread_local uint64_t allocations = 0;

} // namespace

// Whoever allocates, the plugin too, does so through the program's own malloc.
extern "C" void* malloc(size_t size) {
    allocations += processing;
    return __libc_malloc(size);
}
extern "C" void* calloc(size_t count, size_t size) {
    allocations += processing;
    return __libc_calloc(count, size);
}
extern "C" void* realloc(void* memory, size_t size) {
    allocations += processing;
    return __libc_realloc(memory, size);
}

namespace {

constexpr uint32_t PORTS = 5, OUTPUTS = 10;
constexpr clap_id ENGINE_PARAM = 9, MISSES_PARAM = 10;
constexpr double ENGINE_READY = 2.0;

struct Render { // clap/ext/render.h, which DPF does not bring
    bool(CLAP_ABI* has_hard_realtime_requirement)(const clap_plugin_t*);
    bool(CLAP_ABI* set)(const clap_plugin_t*, int32_t mode);
};

[[noreturn]] void fail(const std::string& why) {
    std::fprintf(stderr, "clap_host: %s\n", why.c_str());
    std::exit(1);
}

const void* hostExtension(const clap_host_t*, const char* id) {
    static const clap_host_latency_t latency = {[](const clap_host_t*) {}};
    return std::strcmp(id, CLAP_EXT_LATENCY) == 0 ? &latency : nullptr;
}

const clap_host_t HOST = {CLAP_VERSION, nullptr, "clap_host", "Sidechop", "", "1", hostExtension,
                          [](const clap_host_t*) {}, [](const clap_host_t*) {}, [](const clap_host_t*) {}};

struct Change {
    uint64_t frame;
    clap_event_param_value_t event;
};

struct Events {
    std::vector<const clap_event_header_t*> list;
    clap_input_events_t in{this,
                           [](const clap_input_events_t* self) {
                               return uint32_t(static_cast<Events*>(self->ctx)->list.size());
                           },
                           [](const clap_input_events_t* self, uint32_t i) {
                               return static_cast<Events*>(self->ctx)->list[i];
                           }};
    clap_output_events_t out{this, [](const clap_output_events_t*, const clap_event_header_t*) { return true; }};
};

struct Instance {
    const clap_plugin_t* plugin = nullptr;
    const clap_plugin_params_t* params = nullptr;
    const clap_plugin_latency_t* latency = nullptr;
    std::vector<std::vector<float>> out;
    std::ofstream file;
    uint32_t early = 0;

    double value(clap_id id) const {
        double value = 0;
        params->get_value(plugin, id, &value);
        return value;
    }
};

uint64_t threadNs() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return uint64_t(now.tv_sec) * 1000000000u + uint64_t(now.tv_nsec);
}

void run(Instance& each, Events& events, float* left, float* right, uint32_t n) {
    float* inputs[2] = {left, right};
    float* outputs[OUTPUTS];
    clap_audio_buffer_t in{}, out[PORTS]{};
    in.data32 = inputs;
    in.channel_count = 2;
    for (uint32_t c = 0; c < OUTPUTS; ++c)
        outputs[c] = each.out[c].data();
    for (uint32_t p = 0; p < PORTS; ++p) {
        out[p].data32 = outputs + 2 * p;
        out[p].channel_count = 2;
    }
    clap_process_t process{};
    process.steady_time = -1;
    process.frames_count = n;
    process.audio_inputs = &in;
    process.audio_inputs_count = 1;
    process.audio_outputs = out;
    process.audio_outputs_count = PORTS;
    process.in_events = &events.in;
    process.out_events = &events.out;
    processing = true;
    const clap_process_status status = each.plugin->process(each.plugin, &process);
    processing = false;
    if (status == CLAP_PROCESS_ERROR)
        fail("process() failed");
}

void loadState(const Instance& each, const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const clap_istream_t stream{&file, [](const clap_istream_t* self, void* to, uint64_t size) {
                                    auto& from = *static_cast<std::ifstream*>(self->ctx);
                                    from.read(static_cast<char*>(to), std::streamsize(size));
                                    return int64_t(from.gcount());
                                }};
    const auto* state = static_cast<const clap_plugin_state_t*>(each.plugin->get_extension(each.plugin, CLAP_EXT_STATE));
    if (!state || !state->load(each.plugin, &stream))
        fail("the plugin takes no state");
}

void saveState(const Instance& each, const std::string& path) {
    std::ofstream file(path, std::ios::binary);
    const clap_ostream_t stream{&file, [](const clap_ostream_t* self, const void* from, uint64_t size) {
                                    auto& to = *static_cast<std::ofstream*>(self->ctx);
                                    to.write(static_cast<const char*>(from), std::streamsize(size));
                                    return int64_t(size);
                                }};
    const auto* state = static_cast<const clap_plugin_state_t*>(each.plugin->get_extension(each.plugin, CLAP_EXT_STATE));
    if (!state || !state->save(each.plugin, &stream))
        fail("the plugin gives no state");
}

} // namespace

int main(int count, char** words) {
    std::map<std::string, std::string> options{{"rate", "48000"}, {"block", "512"}, {"seed", "0"}, {"ready", "0"},
                                               {"instances", "1"}, {"mode", "offline"}, {"loops", "1"}, {"channels", "10"}};
    std::vector<Change> changes;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const auto equals = word.find('=');
        if (equals == std::string::npos)
            fail("not an option: " + word);
        const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
        if (key == "set") {
            unsigned id = 0;
            unsigned long long frame = 0;
            double to = 0;
            if (std::sscanf(value.c_str(), "%u:%lf@%llu", &id, &to, &frame) != 3)
                fail("not PARAM:VALUE@FRAME: " + value);
            clap_event_param_value_t event{};
            event.header = {sizeof event, 0, CLAP_CORE_EVENT_SPACE_ID, CLAP_EVENT_PARAM_VALUE, 0};
            event.param_id = id;
            event.note_id = event.port_index = event.channel = event.key = -1;
            event.value = to;
            changes.push_back({frame, event});
        } else {
            options[key] = value;
        }
    }
    const double rate = std::stod(options["rate"]);
    const auto block = uint32_t(std::stoul(options["block"]));
    const std::string mode = options["mode"];
    const auto kept = std::min(OUTPUTS, uint32_t(std::stoul(options["channels"])));
    std::ifstream source(options["in"], std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(source), {}};
    std::vector<float> frames(bytes.size() / sizeof(float));
    std::memcpy(frames.data(), bytes.data(), frames.size() * sizeof(float));

    void* library = dlopen(options["plugin"].c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail(dlerror());
    const auto* entry = static_cast<const clap_plugin_entry_t*>(dlsym(library, "clap_entry"));
    if (!entry || !entry->init(options["plugin"].c_str()))
        fail("no CLAP plugin");
    const auto* factory = static_cast<const clap_plugin_factory_t*>(entry->get_factory(CLAP_PLUGIN_FACTORY_ID));
    const char* id = factory->get_plugin_descriptor(factory, 0)->id;

    std::vector<Instance> all(std::stoul(options["instances"]));
    for (size_t i = 0; i < all.size(); ++i) {
        Instance& each = all[i];
        each.plugin = factory->create_plugin(factory, &HOST, id);
        if (!each.plugin || !each.plugin->init(each.plugin))
            fail("the plugin does not start");
        const auto extension = [&](const char* name) { return each.plugin->get_extension(each.plugin, name); };
        each.params = static_cast<const clap_plugin_params_t*>(extension(CLAP_EXT_PARAMS));
        each.latency = static_cast<const clap_plugin_latency_t*>(extension(CLAP_EXT_LATENCY));
        const auto* ports = static_cast<const clap_plugin_audio_ports_t*>(extension(CLAP_EXT_AUDIO_PORTS));
        if (ports->count(each.plugin, true) != 1 || ports->count(each.plugin, false) != PORTS)
            fail("the plugin has other ports");
        const auto* render = static_cast<const Render*>(extension("clap.render"));
        if (!render || !render->set(each.plugin, mode == "offline"))
            fail("the plugin takes no render mode");
        if (options.count("load"))
            loadState(each, options["load"]);
        each.early = each.latency->get(each.plugin);
        if (!each.plugin->activate(each.plugin, rate, 1, block))
            fail("the plugin does not activate");
        each.plugin->start_processing(each.plugin);
        each.out.assign(OUTPUTS, std::vector<float>(block));
        if (options.count("out"))
            each.file.open(options["out"] + (i ? "." + std::to_string(i) : ""), std::ios::binary);
    }

    Events events;
    std::vector<float> left(block), right(block), interleaved(size_t(block) * OUTPUTS);
    const auto waiting = std::chrono::steady_clock::now();
    const double patience = std::stod(options["ready"]);
    const auto ready = [&] {
        return std::all_of(all.begin(), all.end(), [](const Instance& each) { return each.value(ENGINE_PARAM) == ENGINE_READY; });
    };
    if (patience > 0) {
        while (!ready()) {
            if (std::chrono::steady_clock::now() - waiting > std::chrono::duration<double>(patience))
                fail("an engine was not ready in time");
            for (Instance& each : all)
                run(each, events, left.data(), right.data(), block);
            std::this_thread::sleep_for(std::chrono::duration<double>(block / rate));
        }
        for (Instance& each : all) { // begin anew
            each.plugin->stop_processing(each.plugin);
            each.plugin->deactivate(each.plugin);
            each.plugin->activate(each.plugin, rate, 1, block);
            each.plugin->start_processing(each.plugin);
        }
        std::fprintf(stderr, "ready\n");
    }
    std::vector<double> missesBefore;
    for (Instance& each : all)
        missesBefore.push_back(each.value(MISSES_PARAM));

    std::mt19937 random(unsigned(std::stoul(options["seed"])));
    std::uniform_int_distribution<uint32_t> sizes(1, block);
    std::vector<uint32_t> cpu;
    uint64_t waits = 0, faults = 0;
    const uint64_t once = frames.size() / 2, total = once * std::stoul(options["loops"]);
    cpu.reserve(total / std::max(1u, block / 2) + 16);
    if (mode == "paced") { // as a DAW's audio thread, where that is allowed
        sched_param priority{};
        priority.sched_priority = 65;
        sched_setscheduler(0, SCHED_FIFO, &priority);
    }
    const auto began = std::chrono::steady_clock::now();
    for (uint64_t at = 0; at < total;) {
        const uint32_t wanted = options["seed"] == "0" ? block : sizes(random);
        const auto n = uint32_t(std::min<uint64_t>(wanted, total - at));
        for (uint32_t i = 0; i < n; ++i) {
            left[i] = frames[2 * ((at + i) % once)];
            right[i] = frames[2 * ((at + i) % once) + 1];
        }
        events.list.clear();
        for (const Change& change : changes)
            if (change.frame >= at && change.frame < at + n)
                events.list.push_back(&change.event.header);
        for (Instance& each : all) {
            rusage earlier{}, later{};
            getrusage(RUSAGE_THREAD, &earlier);
            const uint64_t before = threadNs();
            run(each, events, left.data(), right.data(), n);
            cpu.push_back(uint32_t(threadNs() - before));
            getrusage(RUSAGE_THREAD, &later);
            waits += uint64_t(later.ru_nvcsw - earlier.ru_nvcsw);
            faults += uint64_t(later.ru_minflt + later.ru_majflt - earlier.ru_minflt - earlier.ru_majflt);
            if (each.file.is_open()) {
                for (uint32_t i = 0; i < n; ++i)
                    for (uint32_t c = 0; c < kept; ++c)
                        interleaved[i * kept + c] = each.out[c][i];
                each.file.write(reinterpret_cast<const char*>(interleaved.data()),
                                std::streamsize(n * kept * sizeof(float)));
            }
        }
        at += n;
        if (mode == "paced")
            std::this_thread::sleep_until(began + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                      std::chrono::duration<double>(double(at) / rate)));
    }

    std::printf("{\"latency_early\": [");
    for (size_t i = 0; i < all.size(); ++i)
        std::printf("%s%u", i ? ", " : "", all[i].early);
    std::printf("], \"latency\": [");
    for (size_t i = 0; i < all.size(); ++i)
        std::printf("%s%u", i ? ", " : "", all[i].latency->get(all[i].plugin));
    std::printf("], \"misses\": [");
    for (size_t i = 0; i < all.size(); ++i)
        std::printf("%s%.0f", i ? ", " : "", all[i].value(MISSES_PARAM) - missesBefore[i]);
    uint64_t sum = 0;
    for (const uint32_t each : cpu)
        sum += each;
    std::sort(cpu.begin(), cpu.end());
    const auto share = [&](double p) { return cpu.empty() ? 0u : cpu[size_t(p * double(cpu.size() - 1))]; };
    std::printf("], \"blocks\": %zu, \"cpu_ns\": {\"sum\": %llu, \"p50\": %u, \"p99\": %u, \"max\": %u}, ", cpu.size(),
                static_cast<unsigned long long>(sum), share(0.5), share(0.99), share(1.0));
    std::printf("\"allocations\": %llu, \"waits\": %llu, \"faults\": %llu, ", static_cast<unsigned long long>(allocations),
                static_cast<unsigned long long>(waits), static_cast<unsigned long long>(faults));
    std::printf("\"audio_s\": %.6f}\n", double(total) / rate);
    if (options.count("save"))
        saveState(all[0], options["save"]);
    for (Instance& each : all) {
        each.plugin->stop_processing(each.plugin);
        each.plugin->deactivate(each.plugin);
        each.plugin->destroy(each.plugin);
    }
    entry->deinit();
    return 0;
}
