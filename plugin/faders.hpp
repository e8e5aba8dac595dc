// The instance's faders: the plugin's parameters times the lane's control block (what OSC moves), as in
// streaming/mixer.py. With stems s, their faders g and the residual's own fader r the mix that is heard is
//
//     c0 * dry + sum of c_s * stem_s,    c0 = 1 - wet + wet * r,    c_s = wet * (g_s - r)
//
// so with every fader at unity it is the delayed input, to the bit. Changes are ramped.
//
// A parameter that the host sets with the block at position p is meant for the audio of that block, which is heard a
// latency later: it waits until then, and so lands on its sample after the host's compensation.
#pragma once

#include "lane.hpp"

#include <array>

namespace sidechop {

constexpr std::uint32_t STEM_PAIRS = 4;

struct Settings {
    bool bypass = false;
    float wet = 1.0f;
    std::array<float, STEM_PAIRS> gain{1.0f, 1.0f, 1.0f, 1.0f}; // linear

    bool operator==(const Settings& other) const {
        return bypass == other.bypass && wet == other.wet && gain == other.gain;
    }
};

class Faders {
public:
    void prepare(std::uint32_t rate);
    void reset(const Settings& settings); // at once; what waited is forgotten
    void set(std::uint64_t position, const Settings& settings);

    // Writes the mix of n frames from `position` on. `signals` are dry, then `stems` stems without the residual.
    void mix(std::uint64_t position, std::uint32_t n, const float* const (*signals)[CHANNELS], std::uint32_t stems,
             bool residual, const lane::Control& control, float* const out[CHANNELS]);

private:
    static constexpr std::uint32_t SIGNALS = 1 + STEMS_MAX;
    static constexpr std::uint32_t WAITING = 1024; // a block each; beyond that the latest are merged
    using Coefficients = std::array<float, SIGNALS>;

    Coefficients wanted(std::uint32_t stems, bool residual, const lane::Control& control) const;
    void mixPart(std::uint32_t at, std::uint32_t n, const float* const (*signals)[CHANNELS], std::uint32_t stems,
                 bool residual, const lane::Control& control, float* const out[CHANNELS]);

    struct Change {
        std::uint64_t position;
        Settings settings;
    };

    std::uint32_t ramp_ = 480;
    Settings now_, last_;
    std::array<Change, WAITING> changes_;
    std::uint32_t first_ = 0, count_ = 0;
    Coefficients start_{}, goal_{};
    std::uint32_t ramped_ = 0, stems_ = 0;
    bool residual_ = false;
    bool settled_ = false; // whether there are coefficients to ramp from
};

} // namespace sidechop
