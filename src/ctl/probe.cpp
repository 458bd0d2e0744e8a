#include "ctl/probe.hpp"

#include "ctl/file.hpp"
#include "ctl/output.hpp"
#include "ctl/words.hpp"
#include "sys/address.hpp"

#include <cerrno>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

namespace socksify::ctl {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

class Socket {
public:
    explicit Socket(int domain) : fd_(::socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        // One message is one segment: some servers take one recv() for one message (doc/wire.md).
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    ~Socket() {
        if (fd_ >= 0) ::close(fd_);
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    [[nodiscard]] int fd() const noexcept { return fd_; }

    /// Waits for `events` until `deadline`. Whether they came.
    [[nodiscard]] bool wait(short events, Clock::time_point deadline) const {
        for (;;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
            pollfd entry{fd_, events, 0};
            const int ready = ::poll(&entry, 1, static_cast<int>(std::max<decltype(left)>(left, 0)));
            if (ready > 0) return true;
            if (ready == 0) return false; // EINTR: the rest of the time
        }
    }

    /// 0 or errno.
    [[nodiscard]] int connect(const sys::Address& to, Clock::time_point deadline) const {
        if (fd_ < 0) return errno;
        if (::connect(fd_, to.get(), to.size) == 0) return 0;
        if (errno != EINPROGRESS) return errno;
        if (!wait(POLLOUT, deadline)) return ETIMEDOUT;
        int error = 0;
        socklen_t size = sizeof error;
        return ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
    }

private:
    int fd_;
};

class Asker {
public:
    Asker(const policy::Upstream& upstream, const Endpoint& host_of_interest)
        : upstream_(upstream), plan_(plan_for(upstream, host_of_interest)), handshake_(plan_) {}

    Probe ask() {
        const auto addresses = resolve();
        for (const auto& address : addresses)
            if (try_address(address)) break;
        return std::move(out_);
    }

private:
    static ClientPlan plan_for(const policy::Upstream& upstream, const Endpoint& host_of_interest) {
        ClientPlan plan;
        plan.exchange = Exchange::features;
        plan.methods = policy::methods_to_offer(upstream, nullptr);
        plan.username = upstream.username;
        plan.password = upstream.password;
        plan.host_of_interest = host_of_interest;
        return plan;
    }

    void fail(std::string problem, std::string advice = {}) {
        out_.problem = std::move(problem);
        out_.advice = std::move(advice);
    }

    std::vector<Endpoint> resolve() {
        const Endpoint endpoint{upstream_.host, upstream_.port};
        out_.address = endpoint;
        if (!endpoint.host.is_name() || !upstream_.socket_path.empty()) return {endpoint};
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        addrinfo* list = nullptr;
        const int error = ::getaddrinfo(endpoint.host.text().c_str(), nullptr, &hints, &list);
        if (error != 0) {
            fail("its name can't be resolved: " +
                     (error == EAI_SYSTEM ? error_text(errno) : std::string(::gai_strerror(error))),
                 "the name of a proxy is looked up on this machine: see whether it is right, and whether DNS "
                 "works");
            return {};
        }
        std::vector<Endpoint> found;
        for (const auto* entry = list; entry != nullptr; entry = entry->ai_next)
            if (const auto one = sys::to_endpoint(entry->ai_addr, entry->ai_addrlen))
                found.push_back({one->host, endpoint.port});
        ::freeaddrinfo(list);
        if (found.empty()) fail("its name has no address");
        return found;
    }

    /// Whether it was reached; then there is no use in trying another.
    bool try_address(const Endpoint& address) {
        out_.address = address;
        const auto& path = upstream_.socket_path;
        const auto own_family = address.host.type() == AddressType::ipv6 ? AF_INET6 : AF_INET;
        const auto to = path.empty() ? *sys::to_address(address, own_family) : sys::unix_address(path);
        const Socket socket(to.family());
        const auto start = Clock::now();
        if (const int error = socket.connect(to, start + upstream_.connect_timeout); error != 0) {
            fail_to_connect(address, error);
            return false;
        }
        out_.connect_ms = Milliseconds(Clock::now() - start).count();
        out_.is_reached = true;
        sockaddr_storage own{};
        socklen_t size = sizeof own;
        if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &size) == 0)
            if (const auto local = sys::to_endpoint(reinterpret_cast<const sockaddr*>(&own), size))
                out_.client = local->host;
        shake(socket);
        conclude();
        return true;
    }

    void fail_to_connect(const Endpoint& address, int error) {
        const auto& path = upstream_.socket_path;
        const auto where = (path.empty() ? "TCP to " + address.text() : path) + ": " + error_text(error);
        switch (error) {
        case ENOENT: return fail(where, "is the proxy running, and does it listen on that socket?");
        case ECONNREFUSED:
            return fail(where, "nothing listens there: is the proxy running, and is this its port?");
        case ETIMEDOUT:
            return fail(where, "no answer within " +
                                   duration(Milliseconds(upstream_.connect_timeout).count()) +
                                   ": is a firewall in between, or is connect_timeout too short?");
        case ENETUNREACH:
        case EHOSTUNREACH: return fail(where, "this machine has no way to that address");
        default: return fail(where);
        }
    }

    void shake(const Socket& socket) {
        using What = ClientHandshake::Step::What;
        auto deadline = Clock::now() + upstream_.handshake_timeout;
        std::array<std::uint8_t, 4096> buffer;
        for (;;) {
            const auto phase = handshake_.phase();
            const auto step = handshake_.step();
            if (step.what == What::done) return;
            if (step.what == What::failed) return take_rest(socket);
            if (step.what == What::send) {
                begin_message(phase);
                if (phase == Phase::features)
                    deadline = std::min(deadline, asked_ + upstream_.discover_timeout);
                const auto sent = ::send(socket.fd(), step.out.data(), step.out.size(), MSG_NOSIGNAL);
                if (sent >= 0) {
                    handshake_.sent(static_cast<std::size_t>(sent));
                    continue;
                }
                if (errno == EAGAIN && socket.wait(POLLOUT, deadline)) continue;
                // The proxy may have said why before it closed: read first, look at errors second.
            } else if (!socket.wait(POLLIN, deadline)) {
                is_silent_ = true;
                return handshake_.broken_off(); // a list may have come whole but for the rest of its END
            }
            const auto room = step.what == What::receive ? std::min(step.room, buffer.size()) : 1;
            const auto size = ::recv(socket.fd(), buffer.data(), room, 0);
            if (size < 0 && (errno == EINTR || errno == EAGAIN) && step.what == What::receive) continue;
            if (size == 0) return handshake_.ended();
            if (size < 0 || step.what != What::receive) return handshake_.broken_off();
            const Bytes received{buffer.data(), static_cast<std::size_t>(size)};
            out_.answer.insert(out_.answer.end(), received.begin(), received.end());
            handshake_.received(received);
            note_time(phase);
        }
    }

    /// More of what the machine has given up on, so that it can be told who speaks there.
    void take_rest(const Socket& socket) {
        std::array<std::uint8_t, 64> buffer;
        const auto size = ::recv(socket.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size > 0) out_.answer.insert(out_.answer.end(), buffer.begin(), buffer.begin() + size);
    }

    void begin_message(Phase phase) {
        out_.answer.clear();
        asked_ = Clock::now();
        last_asked_ = phase;
    }
    void note_time(Phase phase) {
        const auto taken = Milliseconds(Clock::now() - asked_).count();
        if (phase == Phase::greeting) out_.round_trip_ms = taken;
        if (phase == Phase::features) out_.features_ms = taken;
    }

    void conclude() {
        out_.method = handshake_.method();
        if (handshake_.has_features()) {
            out_.outcome = Probe::Outcome::listed;
            out_.features = handshake_.take_features();
            return;
        }
        if (policy::says_no_features(handshake_.phase(), handshake_.failure())) {
            out_.outcome = Probe::Outcome::no_features;
            out_.reply = handshake_.reply();
            out_.refusal = refusal();
            return;
        }
        explain_failure();
    }

    [[nodiscard]] Probe::Refusal refusal() const {
        using enum Probe::Refusal;
        if (out_.answer.empty()) return is_silent_ ? silent : closed;
        const auto code = early_reply_code(out_.answer);
        if (!code || *code == Reply::succeeded) return garbage;
        return parse_reply(out_.answer).outcome == Outcome::need_more ? cut_short : replied;
    }

    void explain_failure() {
        const auto where = std::string(last_asked_ == Phase::greeting ? "the greeting" : "the password");
        switch (handshake_.failure()) {
        case Failure::no_acceptable_method:
            if (plan_.methods.contains(Method::password))
                return fail("it accepts neither no authentication nor a password (METHOD FF)",
                            "what it wants (GSSAPI, TLS?) is not among what socksify can do");
            return fail("it does not let us in without authentication (METHOD FF)",
                        "give the upstream a username and a password");
        case Failure::authentication_refused:
            return fail("it refused the user name or the password", "see whether both are right");
        case Failure::method_not_offered:
            return fail("it chose the method " + name_of(handshake_.method()) + ", which was not offered",
                        "that is against RFC 1928 §3: the proxy is broken, or is no SOCKS5 proxy");
        case Failure::closed:
            if (is_silent_)
                return fail("it said nothing to " + where + " for " +
                                duration(Milliseconds(upstream_.handshake_timeout).count()),
                            "is it a SOCKS5 proxy, and not overloaded?");
            return fail("it closed the connection after " + where, "does it let this machine in?");
        case Failure::malformed: return explain_stranger();
        default: return fail("the handshake failed");
        }
    }

    /// Somebody answered who does not speak SOCKS5.
    void explain_stranger() {
        const auto text = as_text(out_.answer);
        const std::string advice = "this port is not a SOCKS5 proxy's";
        if (text.starts_with("HTTP/") || text.starts_with("<"))
            return fail("it answers in HTTP", advice + "; HTTP proxies can't be used");
        if (text.starts_with("SSH-")) return fail("it is an SSH server", advice + "; ssh -D PORT makes one");
        if (text[0] == '\0') return fail("it speaks SOCKS4", "socksify needs SOCKS5");
        if (text[0] == '\x15' || text[0] == '\x16')
            return fail("it speaks TLS", advice + " without TLS around it");
        fail("it does not speak SOCKS5; its answer begins with " + hex(out_.answer, 16) + " (\"" +
                 shown(text.substr(0, 16)) + "\")",
             advice);
    }

    const policy::Upstream& upstream_;
    ClientPlan plan_;
    ClientHandshake handshake_;
    Probe out_;
    Clock::time_point asked_;
    Phase last_asked_ = Phase::greeting;
    bool is_silent_ = false;
};

} // namespace

Probe probe(const policy::Upstream& upstream, const Endpoint& host_of_interest) {
    return Asker(upstream, host_of_interest).ask();
}

std::string describe_refusal(const Probe& probe) {
    const auto rep = "REP " + hex(std::array{static_cast<std::uint8_t>(probe.reply)}) + " (" +
                     std::string(describe(probe.reply)) + ")";
    switch (probe.refusal) {
    case Probe::Refusal::none: break;
    case Probe::Refusal::replied: return "it replied " + rep;
    case Probe::Refusal::cut_short:
        return "it replied " + rep + ", but only " + counted(probe.answer.size(), "octet") +
               " of the reply came: " + hex(probe.answer);
    case Probe::Refusal::closed: return "it closed the connection without a word";
    case Probe::Refusal::silent: return "it said nothing at all";
    case Probe::Refusal::garbage:
        return "it answered with octets that are no feature list: " + hex(probe.answer, 24);
    }
    return "it was not asked";
}

std::string_view word_for(const Probe& probe) noexcept {
    if (probe.outcome == Probe::Outcome::listed) return "listed";
    switch (probe.refusal) {
    case Probe::Refusal::none: break;
    case Probe::Refusal::replied: return "replied";
    case Probe::Refusal::cut_short: return "cut short";
    case Probe::Refusal::closed: return "closed";
    case Probe::Refusal::silent: return "silent";
    case Probe::Refusal::garbage: return "garbage";
    }
    return "not asked";
}

} // namespace socksify::ctl
