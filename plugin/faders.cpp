#include "faders.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sidechop {

void Faders::prepare(std::uint32_t rate) { ramp_ = std::max(1u, std::uint32_t(std::lround(lane::RAMP_S * rate))); }

void Faders::reset(const Settings& settings) {
    now_ = last_ = settings;
    first_ = count_ = 0;
    settled_ = false;
}

void Faders::set(std::uint64_t position, const Settings& settings) {
    if (settings == last_)
        return;
    last_ = settings;
    if (count_ < WAITING)
        changes_[(first_ + count_++) % WAITING] = {position, settings};
    else
        changes_[(first_ + count_ - 1) % WAITING].settings = settings;
}

void Faders::mix(std::uint64_t position, std::uint32_t n, const float* const (*signals)[CHANNELS],
                 std::uint32_t stems, bool residual, const lane::Control& control, float* const out[CHANNELS]) {
    if (stems != stems_ || residual != residual_) { // another model: its stems have not been heard yet
        stems_ = stems;
        residual_ = residual;
        settled_ = false;
    }
    std::uint32_t at = 0;
    while (at < n) {
        while (count_ && changes_[first_].position <= position + at) {
            now_ = changes_[first_].settings;
            first_ = (first_ + 1) % WAITING;
            count_--;
        }
        std::uint32_t part = n - at;
        if (count_)
            part = std::uint32_t(std::min<std::uint64_t>(part, changes_[first_].position - (position + at)));
        mixPart(at, part, signals, stems, residual, control, out);
        at += part;
    }
}

Faders::Coefficients Faders::wanted(std::uint32_t stems, bool residual, const lane::Control& control) const {
    const std::uint32_t count = stems + (residual ? 1 : 0);
    bool anySolo = false;
    for (std::uint32_t s = 0; s < count; ++s)
        anySolo = anySolo || control.solo[s];
    const auto fader = [&](std::uint32_t s) {
        const bool heard = !control.mute[s] && (!anySolo || control.solo[s]);
        return heard ? control.gain[s] * (s < STEM_PAIRS ? now_.gain[s] : 1.0f) : 0.0f;
    };
    const float wet = now_.bypass || control.bypass ? 0.0f : now_.wet * control.wet;
    const float rest = residual ? fader(stems) : 0.0f;
    Coefficients result{};
    result[0] = (1.0f - wet) + wet * rest;
    for (std::uint32_t s = 0; s < stems; ++s)
        result[1 + s] = wet * (fader(s) - rest);
    return result;
}

void Faders::mixPart(std::uint32_t at, std::uint32_t n, const float* const (*signals)[CHANNELS], std::uint32_t stems,
                     bool residual, const lane::Control& control, float* const out[CHANNELS]) {
    const Coefficients next = wanted(stems, residual, control);
    if (!settled_) {
        start_ = goal_ = next;
        ramped_ = ramp_;
        settled_ = true;
    } else if (next != goal_) {
        const float way = std::min(1.0f, float(ramped_) / float(ramp_));
        for (std::uint32_t k = 0; k < SIGNALS; ++k)
            start_[k] += (goal_[k] - start_[k]) * way;
        goal_ = next;
        ramped_ = 0;
    }
    const float step = 1.0f / float(ramp_);
    for (std::uint32_t k = 0; k <= stems; ++k) {
        const float start = start_[k], goal = goal_[k];
        const bool moving = ramped_ < ramp_ && start != goal;
        for (std::uint32_t c = 0; c < CHANNELS; ++c) {
            const float* from = signals[k][c] + at;
            float* to = out[c] + at;
            if (k == 0 && !moving && goal == 1.0f) {
                std::memcpy(to, from, n * sizeof(float));
            } else if (k > 0 && !moving && goal == 0.0f) {
                continue;
            } else {
                for (std::uint32_t i = 0; i < n; ++i) {
                    const float way = moving ? std::min(1.0f, float(ramped_ + 1 + i) * step) : 1.0f;
                    const float term = from[i] * (start + (goal - start) * way);
                    to[i] = k == 0 ? term : to[i] + term;
                }
            }
        }
    }
    ramped_ = std::min(ramp_, ramped_ + n);
}

} // namespace sidechop
