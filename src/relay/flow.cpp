#include "relay/flow.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>

namespace socksify::relay {
namespace {

constexpr int pipe_size = 256 * 1024; // a wish: an unprivileged user's pipes shrink when there are many

bool would_block() noexcept { return errno == EAGAIN || errno == EWOULDBLOCK; }

template <class Call>
ssize_t retry(Call call) noexcept {
    ssize_t result;
    do result = call();
    while (result < 0 && errno == EINTR);
    return result;
}

} // namespace

Depot::Pipe Depot::borrow() {
    if (!idle_.empty()) {
        auto pipe = std::move(idle_.back());
        idle_.pop_back();
        return pipe;
    }
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return {};
    fcntl(ends[1], F_SETPIPE_SZ, pipe_size);
    return {Fd(ends[0]), Fd(ends[1])};
}

void Depot::give_back(Pipe pipe) {
    if (idle_.size() < most_idle) idle_.push_back(std::move(pipe));
}

Flow::Next Flow::move(int source, int sink) {
    switch (send_kept(sink)) {
    case Sent::all: break;
    case Sent::some: return Next::writable;
    case Sent::failed: return Next::unwritable;
    }
    return streaming_ ? splice(source, sink) : copy(source, sink);
}

Flow::Sent Flow::send_kept(int sink) {
    while (kept_sent_ < kept_.size()) {
        const auto sent = retry([&] {
            return ::send(sink, kept_.data() + kept_sent_, kept_.size() - kept_sent_,
                          MSG_NOSIGNAL | MSG_DONTWAIT);
        });
        if (sent < 0) return would_block() ? Sent::some : Sent::failed;
        kept_sent_ += static_cast<std::size_t>(sent);
        octets_ += static_cast<std::size_t>(sent);
    }
    kept_.clear(); // its memory stays, for the next time that the sink is slow
    kept_sent_ = 0;
    return Sent::all;
}

Flow::Next Flow::copy(int source, int sink) {
    auto& buffer = depot_.buffer;
    for (std::size_t moved = 0; moved < most_at_once;) {
        const auto received =
            retry([&] { return ::recv(source, buffer.data(), buffer.size(), MSG_DONTWAIT); });
        if (received == 0) return Next::ended;
        if (received < 0) return would_block() ? Next::readable : Next::reset;
        const auto size = static_cast<std::size_t>(received);
        moved += size;
        const auto sent =
            retry([&] { return ::send(sink, buffer.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT); });
        if (sent < 0 && !would_block()) return Next::unwritable;
        const auto taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
        octets_ += taken;
        full_ = size == buffer.size() ? full_ + 1 : 0;
        streaming_ = full_ >= full_for_splice;
        if (taken < size) {
            kept_.assign(buffer.begin() + static_cast<std::ptrdiff_t>(taken),
                         buffer.begin() + static_cast<std::ptrdiff_t>(size));
            return Next::writable;
        }
        if (size < buffer.size()) return Next::readable; // most likely that was all
        if (streaming_) return splice(source, sink);
    }
    return Next::readable;
}

Flow::Next Flow::splice(int source, int sink) {
    switch (empty_pipe(sink)) {
    case Sent::all: break;
    case Sent::some: return Next::writable;
    case Sent::failed: return Next::unwritable;
    }
    if (!pipe_ && !(pipe_ = depot_.borrow())) {
        streaming_ = false;
        full_ = 0;
        return copy(source, sink);
    }
    for (std::size_t moved = 0; moved < most_at_once;) {
        const auto received = retry([&] {
            return ::splice(source, nullptr, pipe_.write.get(), nullptr, pipe_size,
                            SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        });
        if (received <= 0) {
            const auto next = received == 0 ? Next::ended : would_block() ? Next::readable : Next::reset;
            let_go();
            return next;
        }
        in_pipe_ = static_cast<std::size_t>(received);
        depot_.poured = true;
        moved += in_pipe_;
        small_ = in_pipe_ < small_portion ? small_ + 1 : 0;
        switch (empty_pipe(sink)) {
        case Sent::all: break;
        case Sent::some: return Next::writable;
        case Sent::failed: return Next::unwritable;
        }
        if (small_ >= small_for_copy) {
            let_go();
            streaming_ = false;
            full_ = small_ = 0;
            return Next::readable;
        }
    }
    return Next::readable;
}

Flow::Sent Flow::empty_pipe(int sink) {
    while (in_pipe_ > 0) {
        const auto sent = retry([&] {
            return ::splice(pipe_.read.get(), nullptr, sink, nullptr, in_pipe_,
                            SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        });
        if (sent <= 0) return sent < 0 && would_block() ? Sent::some : Sent::failed;
        in_pipe_ -= static_cast<std::size_t>(sent);
        octets_ += static_cast<std::size_t>(sent);
    }
    return Sent::all;
}

void Flow::let_go() noexcept {
    auto pipe = std::exchange(pipe_, {});
    if (pipe && in_pipe_ == 0)
        depot_.give_back(std::move(pipe)); // what lies in another one must not come out again
    in_pipe_ = 0;
}

} // namespace socksify::relay
