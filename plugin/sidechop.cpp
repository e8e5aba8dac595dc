// The plugin as DPF sees it: parameters, ports and the host's calls. What it does with audio is host.hpp.
#include "DistrhoPlugin.hpp"
#include "host.hpp"

#include <cmath>
#include <cstdio>

START_NAMESPACE_DISTRHO

namespace {

constexpr float GAIN_LOW_DB = -60.0f; // is silence
constexpr float GAIN_HIGH_DB = 12.0f;
constexpr int SLOTS = 8;

float linear(float db) { return db <= GAIN_LOW_DB ? 0.0f : std::pow(10.0f, db / 20.0f); }

void describe(Parameter& parameter, const char* name, const char* symbol, uint32_t hints, float low, float high,
              float start, const char* unit = "") {
    parameter.name = name;
    parameter.symbol = symbol;
    parameter.hints = hints;
    parameter.unit = unit;
    parameter.ranges = ParameterRanges(start, low, high);
}

void label(Parameter& parameter, std::initializer_list<const char*> labels) {
    auto* values = new ParameterEnumerationValue[labels.size()];
    parameter.enumValues.count = uint8_t(labels.size());
    parameter.enumValues.restrictedMode = true;
    parameter.enumValues.values = values; // DPF deletes them
    float value = parameter.ranges.min;
    for (const char* text : labels) {
        values->value = value;
        values->label = text;
        values++;
        value += 1.0f;
    }
}

} // namespace

class SidechopPlugin : public Plugin {
public:
    SidechopPlugin() : Plugin(kParameters, 0, 0) { tellLatency(); }

protected:
    const char* getLabel() const override { return "Sidechop"; }
    const char* getDescription() const override {
        return "Stems of what plays, live: the mix with its faders, and a pair of outputs for each stem.";
    }
    const char* getMaker() const override { return "Sidechop"; }
    const char* getLicense() const override { return "Apache-2.0"; }
    uint32_t getVersion() const override { return d_version(0, 1, 0); }
    int64_t getUniqueId() const override { return d_cconst('S', 'd', 'c', 'h'); }

    void initAudioPort(bool input, uint32_t index, AudioPort& port) override {
        Plugin::initAudioPort(input, index, port);
        const char* const side = index % 2 ? "Right" : "Left";
        char name[32];
        if (input || index < 2) {
            port.groupId = kPortGroupStereo;
            std::snprintf(name, sizeof name, "%s %s", input ? "Input" : "Mix", side);
        } else {
            port.groupId = index / 2 - 1;
            std::snprintf(name, sizeof name, "Stem %u %s", index / 2, side);
        }
        port.name = name;
    }

    void initPortGroup(uint32_t groupId, PortGroup& group) override {
        char name[32];
        std::snprintf(name, sizeof name, "Stem %u", groupId + 1);
        group.name = name;
        std::snprintf(name, sizeof name, "stem_%u", groupId + 1);
        group.symbol = name;
    }

    void initParameter(uint32_t index, Parameter& parameter) override {
        const uint32_t moved = kParameterIsAutomatable;
        switch (index) {
        case kBypass:
            parameter.initDesignation(kParameterDesignationBypass);
            break;
        case kWet:
            describe(parameter, "Wet", "wet", moved, 0, 100, 100, "%");
            break;
        case kGain1:
            describe(parameter, "Stem 1 gain (vocals)", "gain_1", moved, GAIN_LOW_DB, GAIN_HIGH_DB, 0, "dB");
            break;
        case kGain2:
            describe(parameter, "Stem 2 gain (drums)", "gain_2", moved, GAIN_LOW_DB, GAIN_HIGH_DB, 0, "dB");
            break;
        case kGain3:
            describe(parameter, "Stem 3 gain (bass)", "gain_3", moved, GAIN_LOW_DB, GAIN_HIGH_DB, 0, "dB");
            break;
        case kGain4:
            describe(parameter, "Stem 4 gain (other)", "gain_4", moved, GAIN_LOW_DB, GAIN_HIGH_DB, 0, "dB");
            break;
        case kSlot:
            describe(parameter, "Model slot", "slot", moved | kParameterIsInteger, 0, SLOTS - 1, 0);
            break;
        case kEngineTime: // added to the latency, so hosts do not automate it
            describe(parameter, "Engine time", "engine_time", 0, 0, 100, 0, "ms");
            break;
        case kOffline:
            describe(parameter, "Wait for the engine", "offline", kParameterIsBoolean | kParameterIsInteger, 0, 1, 0);
            break;
        case kEngine:
            describe(parameter, "Engine", "engine", kParameterIsOutput | kParameterIsInteger, 0, 3, 0);
            label(parameter, {"absent", "loading", "ready", "failed"});
            break;
        case kMisses:
            describe(parameter, "Late blocks", "misses", kParameterIsOutput | kParameterIsInteger, 0, 1e6, 0);
            break;
        }
    }

    float getParameterValue(uint32_t index) const override {
        switch (index) {
        case kBypass: return settings_.bypass;
        case kWet: return settings_.wet * 100.0f;
        case kSlot: return float(slot_);
        case kEngineTime: return engineTimeMs_;
        case kOffline: return offline_;
        case kEngine: return float(host_.engineState());
        case kMisses: return float(std::min<uint64_t>(host_.misses(), 1000000));
        default: return gainDb_[index - kGain1];
        }
    }

    void setParameterValue(uint32_t index, float value) override {
        switch (index) {
        case kBypass: settings_.bypass = value > 0.5f; break;
        case kWet: settings_.wet = value / 100.0f; break;
        case kSlot:
            slot_ = uint32_t(std::lround(value));
            host_.setSlot(slot_);
            break;
        case kEngineTime:
            engineTimeMs_ = value;
            tellLatency();
            break;
        case kOffline: offline_ = value > 0.5f; break;
        case kEngine:
        case kMisses: break;
        default:
            gainDb_[index - kGain1] = value;
            settings_.gain[index - kGain1] = linear(value);
        }
    }

    void sampleRateChanged(double) override { tellLatency(); }
    void bufferSizeChanged(uint32_t) override { tellLatency(); }

    void activate() override {
        host_.setBudget(budget());
        host_.prepare(getSampleRate(), getBufferSize());
        host_.reset(settings_);
        setLatency(host_.latency());
    }

    void run(const float** inputs, float** outputs, uint32_t frames) override {
        sidechop::Host::Outputs out;
        for (uint32_t c = 0; c < 2; ++c) {
            out.mix[c] = outputs[c];
            for (uint32_t s = 0; s < sidechop::STEM_PAIRS; ++s)
                out.stems[s][c] = outputs[2 + 2 * s + c];
        }
        host_.setBudget(budget());
        host_.process(inputs, out, frames, settings_, offline_);
        setLatency(host_.latency()); // a model with a longer window asks for more
    }

private:
    uint32_t budget() const { return uint32_t(std::lround(engineTimeMs_ * getSampleRate() / 1000.0)); }

    // Hosts ask for it before they activate, some only then.
    void tellLatency() {
        const uint32_t window = sidechop::windowFor(getSampleRate());
        setLatency(sidechop::latencyFor(window, std::max(1u, getBufferSize()), budget()));
    }

    sidechop::Host host_;
    sidechop::Settings settings_;
    float gainDb_[sidechop::STEM_PAIRS]{};
    uint32_t slot_ = 0;
    float engineTimeMs_ = 0.0f;
    bool offline_ = false;

    DISTRHO_DECLARE_NON_COPYABLE_WITH_LEAK_DETECTOR(SidechopPlugin)
};

Plugin* createPlugin() { return new SidechopPlugin(); }

END_NAMESPACE_DISTRHO
