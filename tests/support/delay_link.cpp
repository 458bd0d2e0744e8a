// delay_link: a cable of a given length between two network namespaces.
//
//     delay_link MILLISECONDS PID_A NAME_A PID_B NAME_B [TRACE]
//
// Makes a TUN device NAME_A in the network namespace of process PID_A, another one NAME_B in that of PID_B,
// and hands every packet that enters one of them out at the other, half of MILLISECONDS later: that is the
// time for a round trip. No loss, no reordering, no limit on the rate: delay is the one thing that a count of
// round trips wants to see. (netem does this where the kernel has it; here it has not.)
//
// "ready" on standard output means that both devices exist; addresses and routes are the caller's. The
// devices go with the process, and the process goes with its parent. TRACE, if given, gets every packet when
// it enters the link, as a pcap file (nanoseconds, LINKTYPE_RAW) that tcpdump reads and delay.py counts.

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <optional>
#include <poll.h>
#include <sched.h>
#include <span>
#include <string>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;
using Octets = std::vector<std::uint8_t>;

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

class Fd {
public:
    explicit Fd(int fd, const std::string& what) : fd_(fd) {
        if (fd < 0) fail(what);
    }
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&&) = delete;
    ~Fd() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

/// A TUN device in the network namespace of process `pid`, without a packet header (IFF_NO_PI), not blocking.
/// The calling thread comes to stand in that namespace.
Fd open_tun(const std::string& pid, const std::string& name) {
    const Fd network(::open(("/proc/" + pid + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC),
                     "namespace of " + pid);
    if (::setns(network.get(), CLONE_NEWNET) != 0) fail("setns");
    Fd tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), "/dev/net/tun");
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(tun.get(), TUNSETIFF, &request) != 0) fail("TUN device " + name);
    return tun;
}

/// A pcap file. Each record is written by one call, so a reader that polls the file never sees half a
/// record's header.
class Trace {
public:
    explicit Trace(const char* path)
        : file_(::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), path) {
        // Magic for nanoseconds in host order, version 2.4, time zone, accuracy, longest packet,
        // LINKTYPE_RAW.
        const std::array<std::uint32_t, 6> header{0xa1b23c4d, 0x00040002, 0, 0, 65535, 101};
        if (::write(file_.get(), header.data(), sizeof header) != sizeof header) fail(path);
    }

    void add(std::span<const std::uint8_t> packet) {
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        const auto whole = std::chrono::floor<std::chrono::seconds>(now);
        const auto size = static_cast<std::uint32_t>(packet.size());
        std::array<std::uint32_t, 4> header{static_cast<std::uint32_t>(whole.count()),
                                            static_cast<std::uint32_t>(nanoseconds(now - whole).count()),
                                            size, size};
        const std::array<iovec, 2> parts{
            {{header.data(), sizeof header}, {const_cast<std::uint8_t*>(packet.data()), packet.size()}}};
        if (::writev(file_.get(), parts.data(), static_cast<int>(parts.size())) < 0) fail("trace");
    }

private:
    Fd file_;
};

/// One way through the link. The delay is the same for all packets, so the first one in is the first one due.
class Direction {
public:
    Direction(const Fd& from, const Fd& to, nanoseconds delay) : from_(from), to_(to), delay_(delay) {}

    int readable_fd() const noexcept { return from_.get(); }

    /// Takes in what waits at the near end.
    void accept(Trace* trace) {
        for (;;) {
            const auto size = ::read(from_.get(), buffer_.data(), buffer_.size());
            if (size < 0 && errno == EINTR) continue;
            if (size < 0 && errno == EAGAIN) return;
            if (size <= 0) fail("read");
            const std::span packet(buffer_.data(), static_cast<std::size_t>(size));
            if (trace) trace->add(packet);
            held_.push_back({Clock::now() + delay_, Octets(packet.begin(), packet.end())});
        }
    }

    /// Hands out what is due. Like any cable, it has no idea whether anybody takes it: EIO means that the
    /// device is down.
    void deliver(Clock::time_point now) {
        for (; !held_.empty() && held_.front().due <= now; held_.pop_front()) {
            const Octets& packet = held_.front().packet;
            if (::write(to_.get(), packet.data(), packet.size()) < 0 && errno != EIO) fail("write");
        }
    }

    /// When `deliver` has something to do again.
    Clock::time_point next_due() const {
        return held_.empty() ? Clock::time_point::max() : held_.front().due;
    }

private:
    struct Held {
        Clock::time_point due;
        Octets packet;
    };

    const Fd& from_;
    const Fd& to_;
    nanoseconds delay_;
    std::deque<Held> held_;
    std::array<std::uint8_t, 65536> buffer_{};
};

/// Sleeps until one of the devices has a packet, or until `due`. ppoll, because poll counts in milliseconds.
void wait_until(Clock::time_point due, std::span<pollfd> devices) {
    timespec left{};
    if (due != Clock::time_point::max()) {
        const auto duration = std::max<nanoseconds>(due - Clock::now(), nanoseconds::zero());
        const auto whole = std::chrono::floor<std::chrono::seconds>(duration);
        left = {whole.count(), nanoseconds(duration - whole).count()};
    }
    if (::ppoll(devices.data(), devices.size(), due == Clock::time_point::max() ? nullptr : &left, nullptr) <
            0 &&
        errno != EINTR)
        fail("ppoll");
}

[[noreturn]] void carry(std::span<Direction> directions, Trace* trace) {
    std::vector<pollfd> devices;
    for (const Direction& direction : directions) devices.push_back({direction.readable_fd(), POLLIN, 0});
    for (;;) {
        auto due = Clock::time_point::max();
        for (const Direction& direction : directions) due = std::min(due, direction.next_due());
        wait_until(due, devices);
        for (Direction& direction : directions) direction.accept(trace);
        for (Direction& direction : directions) direction.deliver(Clock::now());
    }
}

int run(std::span<char*> arguments) {
    if (arguments.size() < 6 || arguments.size() > 7) {
        std::fputs("usage: delay_link MILLISECONDS PID_A NAME_A PID_B NAME_B [TRACE]\n", stderr);
        return 2;
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_TIMERSLACK, 1UL); // the default of 50 µs would be added to each way

    const nanoseconds each_way(static_cast<std::int64_t>(std::strtod(arguments[1], nullptr) * 1e6 / 2));
    const Fd a = open_tun(arguments[2], arguments[3]);
    const Fd b = open_tun(arguments[4], arguments[5]);
    std::optional<Trace> trace;
    if (arguments.size() == 7) trace.emplace(arguments[6]);
    std::puts("ready");
    std::fflush(stdout);

    std::array directions{Direction(a, b, each_way), Direction(b, a, each_way)};
    carry(directions, trace ? &*trace : nullptr);
}

} // namespace

int main(int count, char** arguments) {
    try {
        return run({arguments, static_cast<std::size_t>(count)});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "delay_link: %s\n", error.what());
        return 1;
    }
}
