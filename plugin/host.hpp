// The audio side of a lane, the twin of streaming/host.py: what the process function does with each block.
//
// It copies and counts. It never waits (but offline), never allocates, takes no lock and makes no system call, and
// always has something to play: the engine's output where it is ready, else the delayed input, entered without a step
// and left by a crossfade. Positions are absolute, so nothing is ever played late or early:
//
//     host has written     ─────────────────────────────────────────►│ in_written
//     engine has finished  out_valid_from ├───────────────►│ out_written
//     host plays                   [in_written - latency - n, in_written - latency)
//
// latency = window + margin. The window is that of the usual models (streaming/windows.py) unless the engine's model
// needs a longer one; the margin is the time the engine has: whole blocks, at least one, that hold a hop, or as much
// as the user gives it.
#pragma once

#include "faders.hpp"

#include <memory>
#include <vector>

namespace sidechop {

// What the host is told before there is an engine.
std::uint32_t windowFor(double rate);
std::uint32_t latencyFor(std::uint32_t window, std::uint32_t block, std::uint32_t budget);

class Host {
public:
    // Makes a lane, or keeps the one there is if it fits. Main thread; allocates.
    void prepare(double rate, std::uint32_t block);
    // As after `prepare`: what was heard is forgotten, by the engine too.
    void reset(const Settings& settings);

    struct Outputs {
        float* mix[CHANNELS];
        float* stems[STEM_PAIRS][CHANNELS]; // any may be null
    };
    // n frames of `in` (null is silence) in, and out what came `latency()` ago; any of them may share memory.
    void process(const float* const in[CHANNELS], const Outputs& out, std::uint32_t n, const Settings& settings,
                 bool offline);

    void setSlot(std::uint32_t slot);
    void setBudget(std::uint32_t frames) { budget_ = frames; } // what the margin holds at least; a hop is the least
    std::uint32_t latency() const { return latency_; }
    std::uint32_t engineState() const;
    std::uint64_t misses() const;

private:
    static constexpr std::uint32_t SIGNALS = 1 + STEMS_MAX;
    using Frame = float[SIGNALS][CHANNELS];

    void processPiece(const float* const in[CHANNELS], const Outputs& out, std::uint32_t at, std::uint32_t n,
                      bool offline);
    void write(const float* const in[CHANNELS], std::uint32_t at, std::uint32_t n);
    void updateLatency();
    bool ready(std::int64_t start, std::uint32_t n) const;
    bool waitFor(std::int64_t start, std::uint32_t n);
    void read(const float* ring, std::uint32_t frames, std::int64_t start, std::uint32_t n, float* out) const;
    void crossfade(float* wet, const float* plain, std::uint32_t n, float gap, bool ready) const;

    std::unique_ptr<Lane> lane_;
    Faders faders_;
    std::uint32_t hostBlock_ = 0, reserved_ = 0, window_ = 0, latency_ = 0, slot_ = 0;
    std::uint32_t budget_ = 0, budgeted_ = 0;
    std::uint64_t position_ = 0, origin_ = 0;
    bool gaveUp_ = false; // offline: nobody serves, so wait no more until somebody does
    bool stuck_ = false;  // offline: one serves and gives nothing, so wait no more until it does
    // Signals of one piece: the mix (wet or between), then stems; dry beside them.
    std::vector<float> scratch_;
    float* wet_[SIGNALS][CHANNELS]{};
    float* dry_[CHANNELS]{};
    float* silence_ = nullptr;
    Frame gap_{}, last_{}, lastPlain_{};
    float wetness_ = 1.0f; // 0 dry, 1 wet; it rises over a crossfade and falls at once, the step taken up by gap_
    float gapLeft_ = 0.0f;
};

} // namespace sidechop
