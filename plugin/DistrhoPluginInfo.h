// What DPF asks of a plugin: names, ports and what it wants from the host.
#pragma once

#define DISTRHO_PLUGIN_BRAND "Sidechop"
#define DISTRHO_PLUGIN_NAME "Sidechop"
#define DISTRHO_PLUGIN_URI "urn:sidechop:plugin"
#define DISTRHO_PLUGIN_CLAP_ID "org.sidechop.plugin"

#define DISTRHO_PLUGIN_NUM_INPUTS 2
#define DISTRHO_PLUGIN_NUM_OUTPUTS 10 // the mix, then a stereo pair for each of four stems
#define DISTRHO_PLUGIN_HAS_UI 0
#define DISTRHO_PLUGIN_IS_RT_SAFE 1
#define DISTRHO_PLUGIN_WANT_LATENCY 1
#ifdef DISTRHO_PLUGIN_TARGET_CLAP
#define DISTRHO_PLUGIN_WANT_STATE 1 // without it DPF saves not even the parameters there
#endif

#define DISTRHO_PLUGIN_LV2_CATEGORY "lv2:SpectralPlugin"
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Fx|Restoration|Stereo"
#define DISTRHO_PLUGIN_CLAP_FEATURES "audio-effect", "restoration", "stereo"

// In the order of automation lanes and of saved sessions: add at the end, remove none.
enum SidechopParameter {
    kBypass,
    kWet,
    kGain1,
    kGain2,
    kGain3,
    kGain4,
    kSlot,
    kEngineTime,
    kOffline, // LV2's freewheel port; dpf.patch sets it from the render mode of VST3 and CLAP hosts
    kEngine,  // output: lane::EngineState
    kMisses,  // output
    kParameters
};
