#include "lane.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <random>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sidechop {
namespace {

constexpr off_t PLUGIN_BYTE = 0;
constexpr off_t DAEMON_BYTE = 1;

std::uint32_t powerOfTwo(std::uint64_t atLeast) {
    std::uint32_t power = 1;
    while (power < atLeast)
        power *= 2;
    return power;
}

struct flock byteLock(off_t byte) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    return lock;
}

// SIDECHOP_GROUP keeps daemons and plugins apart that should not find each other.
std::string newName() {
    const char* group = std::getenv("SIDECHOP_GROUP");
    std::random_device random;
    char end[40];
    std::snprintf(end, sizeof end, "%ld-%08x", long(getpid()), unsigned(random()));
    return "/" + std::string(lane::PLUGIN_LANE) + (group && *group ? std::string(group) + "." : "") + end;
}

// What is played late, a block, and what an engine that catches up writes at once.
std::uint32_t ringFor(std::uint32_t rate, std::uint32_t latency) {
    return powerOfTwo(std::max(rate, latency + 2 * BLOCK_MAX));
}

} // namespace

Lane::Lane(std::uint32_t rate, std::uint32_t block, std::uint32_t latency, std::uint32_t slot) : rate_(rate) {
    block_ = std::clamp(block, BLOCK_MIN, BLOCK_MAX);
    ring_ = std::max(powerOfTwo(4 * block_), ringFor(rate, latency));
    history_ = std::max(ring_, powerOfTwo(std::uint64_t(std::ceil(HISTORY_S * rate)) + block_));
    const std::size_t queries =
        lane::AUDIO_OFFSET + (history_ + std::size_t(1 + STEMS_MAX) * ring_) * CHANNELS * sizeof(float);
    const std::size_t size = queries + lane::QUERY_SLOTS * lane::QUERY_BYTES;
    if (!share(size)) {
        void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            throw std::bad_alloc();
        memory_ = static_cast<unsigned char*>(memory);
    }
    size_ = size;
    audio_ = at<float>(lane::AUDIO_OFFSET);

    lane::Header& header = this->header();
    header.layout_version = lane::LAYOUT_VERSION;
    header.rate = rate;
    header.channels = CHANNELS;
    header.block = block_;
    header.ring_frames = ring_;
    header.history_frames = history_;
    header.outputs_max = STEMS_MAX;
    header.host_slot = slot;
    header.daemon_pid = header.host_pid = std::uint32_t(getpid());
    header.engine_state = isShared() ? lane::ABSENT : lane::FAILED;
    lane::Control& control = *at<lane::Control>(lane::CONTROL_OFFSET);
    for (float& gain : control.gain)
        gain = 1.0f;
    control.wet = 1.0f;
    for (std::size_t slot = 0; slot < lane::QUERY_SLOTS; ++slot)
        *at<float>(queries + slot * lane::QUERY_BYTES + lane::QUERY_STRENGTH_OFFSET) = 1.0f;
    store(header.magic, lane::MAGIC); // last: whoever sees it may read the rest
}

bool Lane::share(std::size_t size) {
    name_ = newName();
    const int file = shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file < 0)
        return false;
    struct flock lock = byteLock(PLUGIN_BYTE);
    // All of it at once: memory that runs out later would kill the host that touches it.
    if (fcntl(file, F_OFD_SETLK, &lock) == 0 && posix_fallocate(file, 0, off_t(size)) == 0) {
        void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
        if (memory != MAP_FAILED) {
            memory_ = static_cast<unsigned char*>(memory);
            file_ = file;
            return true;
        }
    }
    shm_unlink(name_.c_str());
    close(file);
    return false;
}

Lane::~Lane() {
    if (isShared()) {
        shm_unlink(name_.c_str()); // before the lock goes, so that the daemon finds it gone rather than dead
        close(file_);
    }
    munmap(memory_, size_);
}

bool Lane::fits(std::uint32_t rate, std::uint32_t block, std::uint32_t latency) const {
    return isShared() && rate == rate_ && std::min(block, BLOCK_MAX) <= block_ && ringFor(rate, latency) <= ring_;
}

bool Lane::isServed() const {
    struct flock lock = byteLock(DAEMON_BYTE);
    return isShared() && fcntl(file_, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

} // namespace sidechop
