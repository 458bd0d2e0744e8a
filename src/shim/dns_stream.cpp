#include "shim/dns_stream.hpp"

#include "shim/dns_exchange.hpp"
#include "shim/resolver.hpp"
#include "socksify/bytes.hpp"
#include "sys/internal_fds.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"
#include "sys/socket_options.hpp"
#include "sys/worker.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

namespace socksify::shim {
namespace {

using Clock = sys::worker::Clock;
using namespace std::chrono_literals;

constexpr auto longest_idleness = 60s;          // RFC 7766 §6.2.3 has servers close after some time
constexpr std::size_t most_unread = 256 * 1024; // octets of answers; then no more questions are read
constexpr std::size_t most_asked = 64;          // questions under way

/// The server's end. What is asked of others keeps it until it is answered.
struct Stream {
    explicit Stream(int connection) noexcept : fd(connection) {}
    ~Stream() { sys::close_internal(fd); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    void put(Bytes response) {
        out.push_back(static_cast<std::uint8_t>(response.size() >> 8));
        out.push_back(static_cast<std::uint8_t>(response.size()));
        out.insert(out.end(), response.begin(), response.end());
    }
    /// As far as there is room. False if nobody reads any more.
    [[nodiscard]] bool flush() {
        while (!out.empty()) {
            const auto size = real::send(fd, out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (size < 0) return errno == EAGAIN || errno == EINTR;
            out.erase(out.begin(), out.begin() + size);
        }
        return true;
    }

    int fd;
    std::vector<std::uint8_t> out;
    std::size_t asked = 0; ///< questions that others have not answered yet
};

class StreamTask final : public sys::worker::Task {
public:
    StreamTask(std::shared_ptr<Stream> stream, const Endpoint& server)
        : stream_(std::move(stream)), server_(server) {}

    sys::worker::Wait run() override {
        if (!take_what_has_come() || !stream_->flush()) return {.over = true};
        const bool is_at_rest = stream_->asked == 0 && stream_->out.empty();
        if (has_ended_ && is_at_rest) return {.over = true};
        if (Clock::now() - last_question_ >= longest_idleness) return {.over = true};
        auto deadline = last_question_ + longest_idleness;
        // An answer leaves when it comes; what it finds no room for is looked after from here.
        if (stream_->asked > 0) deadline = std::min(deadline, Clock::now() + 100ms);
        const auto reading = has_ended_ || is_full() ? 0U : static_cast<std::uint32_t>(EPOLLIN);
        const auto writing = stream_->out.empty() ? 0U : static_cast<std::uint32_t>(EPOLLOUT);
        return {.fd = (reading | writing) != 0 ? stream_->fd : -1,
                .events = reading | writing,
                .deadline = deadline};
    }
    void finish() noexcept override {}
    void abandon(int) noexcept override {}

private:
    [[nodiscard]] bool is_full() const noexcept {
        return stream_->out.size() >= most_unread || stream_->asked >= most_asked;
    }

    /// False if the stream is of no more use.
    [[nodiscard]] bool take_what_has_come() {
        while (!has_ended_ && !is_full()) {
            std::array<std::uint8_t, 4096> octets;
            const auto size = real::recv(stream_->fd, octets.data(), octets.size(), MSG_DONTWAIT);
            if (size < 0) return errno == EAGAIN || errno == EINTR;
            if (size == 0) has_ended_ = true;
            in_.insert(in_.end(), octets.begin(), octets.begin() + size);
            std::size_t used = 0;
            for (;;) {
                const auto left = Bytes(in_).subspan(used);
                if (left.size() < 2 || left.size() < 2 + std::size_t{get16(left)}) break;
                const std::size_t length = get16(left);
                if (!answer(left.subspan(2, length))) return false;
                used += 2 + length;
            }
            in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(used));
        }
        return true;
    }

    /// False for what is no question that could be judged.
    [[nodiscard]] bool answer(Bytes query) {
        using Kind = QuestionOutcome::Kind;
        auto outcome = judge_question(query);
        if (outcome.kind == Kind::no_question) return false;
        last_question_ = Clock::now();
        sys::log::line(sys::log::Level::info, "%s: a question, answered in its place",
                       server_.text().c_str());
        if (outcome.kind == Kind::answered) {
            stream_->put(outcome.response);
            return true;
        }
        const auto then = [stream = stream_, refusal = outcome.response](Bytes response) {
            --stream->asked;
            if (!response.empty() || !refusal.empty())
                stream->put(response.empty() ? Bytes(refusal) : response);
            [[maybe_unused]] const bool ignored = stream->flush();
        };
        ++stream_->asked;
        const bool is_asked = outcome.kind == Kind::ask ? ask_resolver_later(query, then)
                                                        : ask_server_later(server_, query, then);
        if (!is_asked) then({});
        return true;
    }

    std::shared_ptr<Stream> stream_;
    Endpoint server_;
    std::vector<std::uint8_t> in_;
    bool has_ended_ = false;
    Clock::time_point last_question_ = Clock::now();
};

/// A listening socket on loopback that goes when it has given one connection.
class Listener {
public:
    explicit Listener(int family) noexcept {
        constexpr int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
        fd_ = sys::open_with_room([family] { return real::socket(family, type, 0); });
        if (fd_ < 0) return;
        constexpr int backlog = 16; // others may come first
        address_ = sys::bind_to_loopback(fd_, family);
        if (address_ && real::listen(fd_, backlog) != 0) address_.reset();
    }
    ~Listener() {
        const sys::KeepErrno keep;
        if (fd_ >= 0) real::close(fd_);
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    /// As a socket of `domain` writes it.
    [[nodiscard]] std::optional<sys::Address> address(int domain) const noexcept {
        const auto endpoint = address_ ? sys::to_endpoint(address_->get(), address_->size) : std::nullopt;
        return endpoint ? sys::to_address(*endpoint, domain) : std::nullopt;
    }

    /// The other end of `client`, and of nobody else's connection: -1 if it does not come.
    [[nodiscard]] int accept_only(int client) const {
        const auto wanted = name_of(client);
        for (;;) {
            pollfd interest{fd_, POLLIN, 0};
            constexpr int milliseconds = 1000; // on loopback it is there already, as a rule
            const int ready = real::poll(&interest, nfds_t{1}, milliseconds);
            if (ready < 0 && errno == EINTR) continue;
            if (ready <= 0 || !wanted) return -1;
            sys::Address peer;
            peer.size = sizeof peer.storage;
            const int fd = sys::open_with_room([&] {
                return real::accept4(fd_, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size,
                                     SOCK_CLOEXEC | SOCK_NONBLOCK);
            });
            if (fd < 0) return -1;
            const auto from = sys::to_endpoint(peer.get(), peer.size);
            if (from && from->port == wanted->port && from->host.unmapped() == wanted->host.unmapped())
                return sys::make_internal(fd);
            real::close(fd);
        }
    }

private:
    static std::optional<Endpoint> name_of(int fd) {
        const auto own = sys::local_address(fd);
        return own ? sys::to_endpoint(own->get(), own->size) : std::nullopt;
    }

    int fd_ = -1;
    std::optional<sys::Address> address_;
};

} // namespace

int connect_to_answers(int fd, const sys::Address& server) {
    const auto endpoint = sys::to_endpoint(server.get(), server.size);
    if (!endpoint) return EAFNOSUPPORT;
    if (!sys::worker::ready()) return errno;
    const bool is_v6 = endpoint->host.unmapped().type() == AddressType::ipv6;
    const Listener listener(is_v6 ? AF_INET6 : AF_INET);
    const auto to = listener.address(server.family());
    if (!to) return ECONNREFUSED;
    const int outcome = real::connect(fd, to->get(), to->size) == 0 ? 0 : errno;
    if (outcome != 0 && outcome != EINPROGRESS) return outcome;
    const int ours = listener.accept_only(fd);
    if (ours < 0) return sys::disconnect(fd), ECONNREFUSED;
    const auto stream = std::make_shared<Stream>(ours);
    std::unique_ptr<sys::worker::Task> task =
        std::make_unique<StreamTask>(stream, Endpoint{endpoint->host.unmapped(), endpoint->port});
    if (!sys::worker::post(task)) return sys::disconnect(fd), errno;
    return outcome;
}

} // namespace socksify::shim
