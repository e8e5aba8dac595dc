// One instance's lane: shared memory that this plugin makes and the daemon finds. Main thread only, but for the views.
//
// The daemon looks for names that begin with PLUGIN_LANE. Two byte-range locks on the segment's file say who lives: the
// plugin holds byte 0 as long as the instance does, a daemon byte 1 while it serves it. The kernel lets go of a lock
// when its holder dies, however it dies, so nobody trusts a process id. docs/shared-memory.md has the rest.
#pragma once

#include "lane_layout.hpp"

#include <string>

namespace sidechop {

constexpr std::uint32_t CHANNELS = 2;
constexpr std::uint32_t STEMS_MAX = 8;          // that a lane of ours has room for
constexpr std::uint32_t BLOCK_MIN = 1024;       // longest piece of a host's block: at least …
constexpr std::uint32_t BLOCK_MAX = 8192;       // … and at most
constexpr double HISTORY_S = 20.0;              // of input that can be chopped afterwards

inline std::uint64_t load(const std::uint64_t& counter) { return __atomic_load_n(&counter, __ATOMIC_ACQUIRE); }
inline std::uint32_t load(const std::uint32_t& field) { return __atomic_load_n(&field, __ATOMIC_ACQUIRE); }
inline void store(std::uint64_t& counter, std::uint64_t value) { __atomic_store_n(&counter, value, __ATOMIC_RELEASE); }
inline void store(std::uint32_t& field, std::uint32_t value) { __atomic_store_n(&field, value, __ATOMIC_RELEASE); }

class Lane {
public:
    // Makes it, long enough for a host that plays `latency` frames late. Where there is no shared memory, private memory
    // takes its place: the plugin then plays dry.
    Lane(std::uint32_t rate, std::uint32_t block, std::uint32_t latency, std::uint32_t slot);
    ~Lane(); // and removes it
    Lane(const Lane&) = delete;
    Lane& operator=(const Lane&) = delete;

    bool fits(std::uint32_t rate, std::uint32_t block, std::uint32_t latency) const;
    bool isShared() const { return file_ >= 0; }
    bool isServed() const; // whether a daemon lives that serves it; a system call

    lane::Header& header() const { return *at<lane::Header>(0); }
    lane::Counters& counters() const { return *at<lane::Counters>(lane::COUNTERS_OFFSET); }
    const lane::Control& control() const { return *at<lane::Control>(lane::CONTROL_OFFSET); }

    std::uint32_t block() const { return block_; }
    std::uint32_t ringFrames() const { return ring_; }
    std::uint32_t historyFrames() const { return history_; }
    // One channel of the input ring, and of an output ring: 0 is the engine's own mix, then the stems.
    float* input(std::uint32_t channel) const { return audio_ + std::size_t(channel) * history_; }
    const float* output(std::uint32_t ring, std::uint32_t channel) const {
        return audio_ + std::size_t(CHANNELS) * history_ + std::size_t(ring * CHANNELS + channel) * ring_;
    }

private:
    template <class T> T* at(std::size_t offset) const { return reinterpret_cast<T*>(memory_ + offset); }
    bool share(std::size_t size);

    std::uint32_t rate_, block_, ring_, history_;
    std::string name_;
    int file_ = -1;
    std::size_t size_ = 0;
    unsigned char* memory_ = nullptr;
    float* audio_ = nullptr;
};

} // namespace sidechop
