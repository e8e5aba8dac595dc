#include "host.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

namespace sidechop {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto WAIT_SLEEP = std::chrono::microseconds(100);
constexpr auto WAIT_LIMIT = std::chrono::duration<double>(lane::WAIT_LIMIT_S);
constexpr auto UNSERVED_LIMIT = std::chrono::seconds(5); // a daemon that lives has found the lane by then
constexpr double DOUBLED_ABOVE = 50000.0;                // Hz, as streaming/separator.py doubles the windows
// Beginning anew goes to a multiple of this, after as much silence: longer than any hop, and a multiple of most.
constexpr std::uint64_t ORIGIN_STEP = 16384;
constexpr float FADE_STEP = 1.0f / float(lane::CROSSFADE_SAMPLES);

} // namespace

std::uint32_t windowFor(double rate) { return lane::WINDOW_LATENCY * (rate > DOUBLED_ABOVE ? 2 : 1); }

std::uint32_t latencyFor(std::uint32_t window, std::uint32_t block, std::uint32_t budget) {
    budget = std::max({1u, window / 2, budget});
    return window + block * std::max(1u, (budget + block - 1) / block);
}

void Host::prepare(double rate, std::uint32_t block) {
    const auto hertz = std::uint32_t(std::lround(rate));
    hostBlock_ = std::max(1u, block);
    reserved_ = windowFor(rate);
    const std::uint32_t latency = latencyFor(reserved_, hostBlock_, budget_);
    if (!lane_ || !lane_->fits(hertz, hostBlock_, latency)) {
        lane_.reset(); // first: two would need twice the memory
        lane_ = std::make_unique<Lane>(hertz, hostBlock_, latency, slot_);
        position_ = origin_ = 0;
        gaveUp_ = false;
    }
    faders_.prepare(hertz);
    window_ = 0;
    updateLatency();
    const std::uint32_t piece = lane_->block();
    scratch_.assign(std::size_t(SIGNALS * CHANNELS + CHANNELS + 1) * piece, 0.0f);
    float* next = scratch_.data();
    for (auto& signal : wet_)
        for (float*& channel : signal)
            channel = std::exchange(next, next + piece);
    for (float*& channel : dry_)
        channel = std::exchange(next, next + piece);
    silence_ = next;
}

void Host::reset(const Settings& settings) {
    if (position_ != origin_) {
        const std::uint64_t origin = (position_ / ORIGIN_STEP + 2) * ORIGIN_STEP;
        const std::uint32_t piece = lane_->block();
        while (position_ < origin) { // silence, so that whoever looks back hears no ancient audio
            const auto n = std::uint32_t(std::min<std::uint64_t>(piece, origin - position_));
            write(nullptr, 0, n);
            position_ += n;
        }
        origin_ = origin;
        store(lane_->counters().host_origin, origin_);
        store(lane_->counters().in_written, position_);
    }
    faders_.reset(settings);
    wetness_ = 1.0f;
    gapLeft_ = 0.0f;
    gaveUp_ = gaveUp_ && !lane_->isServed();
    stuck_ = false;
    std::memset(gap_, 0, sizeof gap_);
    std::memset(last_, 0, sizeof last_);
    std::memset(lastPlain_, 0, sizeof lastPlain_);
}

void Host::setSlot(std::uint32_t slot) {
    slot_ = slot;
    if (lane_)
        store(lane_->header().host_slot, slot);
}

std::uint32_t Host::engineState() const { return lane_ ? load(lane_->header().engine_state) : lane::ABSENT; }

std::uint64_t Host::misses() const { return lane_ ? lane_->counters().host_misses : 0; }

void Host::updateLatency() {
    const std::uint32_t engines = load(lane_->header().window_latency);
    const std::uint32_t window = std::max(reserved_, engines);
    if (window == window_ && budget_ == budgeted_)
        return;
    window_ = window;
    budgeted_ = budget_;
    latency_ = latencyFor(window, hostBlock_, budget_);
    store(lane_->header().host_latency, latency_);
}

void Host::process(const float* const in[CHANNELS], const Outputs& out, std::uint32_t n, const Settings& settings,
                   bool offline) {
    updateLatency();
    store(lane_->header().host_offline, offline);
    if (position_ == origin_) // hosts hand over a session's values with the first block: no ramp from older ones
        faders_.reset(settings);
    else
        faders_.set(position_, settings);
    for (std::uint32_t at = 0; at < n;) { // a piece is read as a whole before it is written: buffers may be shared
        const std::uint32_t piece = std::min(n - at, lane_->block());
        processPiece(in, out, at, piece, offline);
        at += piece;
    }
}

void Host::write(const float* const in[CHANNELS], std::uint32_t at, std::uint32_t n) {
    const std::uint32_t frames = lane_->historyFrames();
    auto start = std::uint32_t(position_ & (frames - 1));
    for (std::uint32_t c = 0; c < CHANNELS; ++c) {
        float* ring = lane_->input(c);
        const float* from = in && in[c] ? in[c] + at : nullptr;
        for (std::uint32_t i = 0; i < n; ++i) { // what is not a number counts as silence, as in the engine
            const float sample = from ? from[i] : 0.0f;
            ring[(start + i) & (frames - 1)] = std::isfinite(sample) ? sample : 0.0f;
        }
    }
}

void Host::processPiece(const float* const in[CHANNELS], const Outputs& out, std::uint32_t at, std::uint32_t n,
                        bool offline) {
    lane::Header& header = lane_->header();
    lane::Counters& counters = lane_->counters();
    write(in, at, n);
    position_ += n;
    store(counters.in_written, position_);
    const std::int64_t start = std::int64_t(position_) - n - latency_;
    const bool wet = offline ? waitFor(start, n) : ready(start, n);

    const std::uint32_t outputs = std::min(load(header.outputs), STEMS_MAX);
    const bool residual = header.has_residual && outputs > 0;
    const std::uint32_t stems = outputs - (residual ? 1 : 0);
    const std::uint32_t heard = std::min(outputs, STEM_PAIRS);
    for (std::uint32_t c = 0; c < CHANNELS; ++c)
        read(lane_->input(c), lane_->historyFrames(), start, n, dry_[c]);

    const float* signals[SIGNALS][CHANNELS];
    for (std::uint32_t k = 0; k < SIGNALS; ++k)
        for (std::uint32_t c = 0; c < CHANNELS; ++c)
            signals[k][c] = k == 0 ? dry_[c] : silence_;
    for (std::uint32_t s = 0; s < outputs; ++s)
        for (std::uint32_t c = 0; c < CHANNELS; ++c) {
            float* stem = wet_[1 + s][c];
            if (wet)
                read(lane_->output(1 + s, c), lane_->ringFrames(), start, n, stem);
            else
                std::memcpy(stem, residual && s == stems ? dry_[c] : silence_, n * sizeof(float));
            signals[1 + s][c] = stem;
        }
    const auto from = std::uint64_t(std::max<std::int64_t>(start, 0));
    faders_.mix(from, n, signals, stems, residual, lane_->control(), wet_[0]);
    if (!wet)
        for (std::uint32_t c = 0; c < CHANNELS; ++c)
            std::memcpy(wet_[0][c], dry_[c], n * sizeof(float));

    if (!wet && wetness_ > 0.0f) {
        for (std::uint32_t k = 0; k <= heard; ++k)
            for (std::uint32_t c = 0; c < CHANNELS; ++c)
                gap_[k][c] = last_[k][c] - lastPlain_[k][c];
        gapLeft_ = 1.0f;
        wetness_ = 0.0f;
    }
    for (std::uint32_t k = 0; k <= heard; ++k)
        for (std::uint32_t c = 0; c < CHANNELS; ++c) {
            const bool dryToo = k == 0 || (residual && k == outputs);
            const float* plain = dryToo ? dry_[c] : silence_;
            crossfade(wet_[k][c], plain, n, gap_[k][c], wet);
            last_[k][c] = wet_[k][c][n - 1];
            lastPlain_[k][c] = plain[n - 1];
        }
    if (wet)
        wetness_ = std::min(1.0f, wetness_ + float(n) * FADE_STEP);
    gapLeft_ = std::max(0.0f, gapLeft_ - float(n) * FADE_STEP);

    for (std::uint32_t c = 0; c < CHANNELS; ++c) {
        if (out.mix[c])
            std::memcpy(out.mix[c] + at, wet_[0][c], n * sizeof(float));
        for (std::uint32_t s = 0; s < STEM_PAIRS; ++s)
            if (out.stems[s][c])
                std::memcpy(out.stems[s][c] + at, s < heard ? wet_[1 + s][c] : silence_, n * sizeof(float));
    }
    counters.host_blocks++;
    if (!wet) {
        counters.host_dry_frames += n;
        if (load(header.engine_state) == lane::READY)
            counters.host_misses++;
    }
}

bool Host::ready(std::int64_t start, std::uint32_t n) const {
    const lane::Counters& counters = lane_->counters();
    const std::int64_t end = start + n, origin = std::int64_t(origin_);
    if (end <= origin) // nothing to hear yet
        return load(lane_->header().engine_state) == lane::READY;
    return load(counters.out_written) >= std::uint64_t(end) &&
           load(counters.out_valid_from) <= std::uint64_t(std::max(start, origin));
}

bool Host::waitFor(std::int64_t start, std::uint32_t n) {
    if (ready(start, n)) {
        gaveUp_ = stuck_ = false;
        return true;
    }
    const lane::Header& header = lane_->header();
    const std::uint32_t state = load(header.engine_state);
    if (stuck_ || (gaveUp_ && (state == lane::ABSENT || state == lane::FAILED)))
        return false;
    gaveUp_ = false;
    const auto began = Clock::now();
    while (!ready(start, n)) {
        const std::int64_t end = start + n;
        // It went on from a later position, so that these frames never come.
        const bool never = end > std::int64_t(origin_) && load(lane_->counters().out_written) >= std::uint64_t(end);
        if (never)
            return ready(start, n);
        const auto waited = Clock::now() - began;
        const bool unserved = waited > UNSERVED_LIMIT && !lane_->isServed();
        if (unserved || waited > WAIT_LIMIT || load(header.engine_state) == lane::FAILED) {
            gaveUp_ = true;
            stuck_ = !unserved && waited > WAIT_LIMIT;
            return ready(start, n);
        }
        std::this_thread::sleep_for(WAIT_SLEEP);
    }
    return true;
}

void Host::read(const float* ring, std::uint32_t frames, std::int64_t start, std::uint32_t n, float* out) const {
    const std::int64_t missing = std::clamp<std::int64_t>(std::int64_t(origin_) - start, 0, n);
    std::memset(out, 0, std::size_t(missing) * sizeof(float));
    out += missing;
    n -= std::uint32_t(missing);
    const auto at = std::uint32_t(std::uint64_t(start + missing) & (frames - 1));
    const std::uint32_t first = std::min(n, frames - at);
    std::memcpy(out, ring + at, first * sizeof(float));
    std::memcpy(out + first, ring, (n - first) * sizeof(float));
}

void Host::crossfade(float* wet, const float* plain, std::uint32_t n, float gap, bool ready) const {
    const std::uint32_t length = std::min(n, lane::CROSSFADE_SAMPLES);
    if (ready && wetness_ < 1.0f)
        for (std::uint32_t i = 0; i < length; ++i)
            wet[i] = plain[i] + (wet[i] - plain[i]) * std::min(1.0f, wetness_ + float(i + 1) * FADE_STEP);
    if (gapLeft_ > 0.0f && gap != 0.0f)
        for (std::uint32_t i = 0; i < length; ++i)
            wet[i] += gap * std::max(0.0f, gapLeft_ - float(i + 1) * FADE_STEP);
}

} // namespace sidechop
