#include "shim/agreement.hpp"

#include "shim/knock.hpp"
#include "sys/inherited_text.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"

#include <algorithm>
#include <cstring>

namespace socksify::shim {
namespace {

namespace log = sys::log;
using Clock = sys::worker::Clock;
using std::chrono::milliseconds;

constexpr auto shortest_pause = milliseconds(10); // after a request that failed
constexpr auto longest_pause = milliseconds(5'000);
constexpr auto without_memory = milliseconds(100);
/// A proxy allows fewer peers to wait; one that tells of more is not heard for a while.
constexpr std::size_t most_waiting = 1024;

} // namespace

Agreement::Agreement(int domain, ListenWish wish)
    : domain_(domain), wish_(std::move(wish)), pause_(shortest_pause) {}

int Agreement::make() {
    auto& wanted = wish_.wanted;
    const bool has_filter = !wanted.host.is_unspecified();
    int error = try_once();
    // To some servers DST.ADDR is not who may come, but where to listen (WIRE.md a.1, 8).
    if (has_filter && (error == ECONNABORTED || error == EHOSTUNREACH || error == EACCES)) {
        wanted.host = wanted.host.type() == AddressType::ipv6 ? Host::ipv6({}) : Host{};
        error = try_once();
    }
    // Nothing tells a port that is in use from other reasons, where the FDL doesn't.
    if (error == ECONNABORTED && wanted.port != 0) return EADDRINUSE;
    if (error != 0) return error;
    const auto bound = dial_->bound();
    if (wanted.port != 0 && bound.port != wanted.port) return EADDRINUSE;
    agreed_ = dial_->upstream();
    wanted.port = bound.port;
    return 0;
}

constexpr int words_before_name = 5;

// Words, and the proxy's name, which may be several. `wanted` is no name: the rules have seen to that.
std::string Agreement::terms() const {
    std::string terms = std::to_string(domain_);
    const auto add = [&terms](const std::string& word) { (terms += ' ') += word; };
    add(wish_.wanted.text());
    add(wish_.told ? wish_.told->text() : "-");
    add(std::to_string(wish_.one_peer));
    add(std::to_string(wish_.both_families));
    add(sys::rules().config.upstreams[*agreed_].name);
    return terms;
}

std::optional<std::size_t> Agreement::upstream_of(const sys::Listener& listener) noexcept {
    std::string_view name = listener.terms();
    for (int i = 0; i < words_before_name; ++i) sys::inherited::take(name, ' ');
    const auto& upstreams = sys::rules().config.upstreams;
    const auto found = std::find_if(upstreams.begin(), upstreams.end(),
                                    [name](const auto& upstream) { return upstream.name == name; });
    if (found == upstreams.end()) return {};
    return static_cast<std::size_t>(found - upstreams.begin());
}

std::unique_ptr<Agreement> Agreement::anew(std::shared_ptr<sys::Listener> listener) {
    using sys::inherited::take, sys::inherited::number;
    std::string_view terms = listener->terms();
    const int domain = number<int>(take(terms, ' '));
    const auto wanted = Endpoint::parse(take(terms, ' '));
    const auto told = Host::parse(take(terms, ' '));
    const bool one_peer = take(terms, ' ') == "1", both_families = take(terms, ' ') == "1";
    const auto upstream = upstream_of(*listener);
    if (!wanted || !upstream) return {};
    auto agreement =
        std::make_unique<Agreement>(domain, ListenWish{{*upstream}, *wanted, told, one_peer, both_families});
    agreement->listener_ = std::move(listener);
    agreement->stage_ = Stage::pausing;
    return agreement;
}

sys::Address Agreement::local() const {
    auto bound = dial_->bound();
    // Many FTP servers take no address but that of the control connection; a proxy may
    // say another of its own.
    if (wish_.told) bound.host = *wish_.told;
    if (bound.host.is_name() || bound.host.is_unspecified()) {
        const auto at = proxy();
        bound.host = at ? at->host : Host{};
    }
    return shown(bound, domain_);
}

void Agreement::serve(std::shared_ptr<sys::Listener> listener) noexcept {
    listener_ = std::move(listener);
    begin_service();
}

sys::worker::Wait Agreement::run() {
    try {
        return go_on();
    } catch (const std::bad_alloc&) {
        pause_before_next_try(); // memory may be had again
        return {.deadline = Clock::now()};
    }
}

sys::worker::Wait Agreement::go_on() {
    for (;;) {
        if (listener_->is_closed()) return {.over = true};
        const auto now = Clock::now();
        switch (stage_) {
        case Stage::binding:
        case Stage::awaiting: {
            const auto wait = dial_->advance();
            if (!wait.over) return wait;
            // Once more around, with no descriptor: the worker must not look at this one when it has
            // gone.
            stage_ = stage_ == Stage::awaiting ? Stage::arrived : Stage::bound;
            return {.deadline = now};
        }
        case Stage::bound:
            if (dial_->error() == 0 && dial_->bound().port == wish_.wanted.port) begin_service();
            else pause_before_next_try();
            break;
        case Stage::arrived:
            if (dial_->error() == 0) pass_on(sys::Place(listener_), control_.get(), dial_->bound(), domain_);
            end_connection();
            stage_ = Stage::pausing;
            until_ = now;
            break;
        case Stage::listening: {
            const auto wait = listen_on();
            if (!wait.over) return wait;
            log::line(log::Level::info, "the listener's connection to the proxy has ended");
            pause_before_next_try();
            return {.deadline = now};
        }
        case Stage::pausing:
            if (now < until_) return {.deadline = until_};
            waits_for_room_ = !listener_->has_room();
            if (waits_for_room_) return {};
            if (begin()) stage_ = Stage::binding;
            else until_ = now + longest_pause;
            break;
        }
    }
}

/// What the worker has lacked for this one it may have for the next.
void Agreement::abandon(int error) noexcept {
    try {
        if (auto next = anew(listener_)) {
            next->until_ = Clock::now() + without_memory;
            std::unique_ptr<sys::worker::Task> task = std::move(next);
            if (sys::worker::post(task)) return;
        }
    } catch (const std::bad_alloc&) {
        // Nor for the next.
    }
    log::line(log::Level::error, "a listener takes no more peers: %s", strerrordesc_np(error));
}

bool Agreement::has_news() const noexcept {
    return listener_->is_closed() || (waits_for_room_ && listener_->has_room()) ||
           (stage_ == Stage::listening && told_backlog_ != listener_->backlog());
}

bool Agreement::begin() {
    const int fd = sys::open_with_room(
        [&] { return real::socket(domain_, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
    if (fd < 0) return false;
    control_.reset(sys::make_internal(fd));
    const int on = 1;
    real::setsockopt(control_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    const std::span<const std::size_t> candidates =
        agreed_ ? std::span<const std::size_t>(&*agreed_, 1) : wish_.upstreams;
    dial_.emplace(wish_.one_peer ? Dial::Purpose::bind : Dial::Purpose::listen, sys::rules(), candidates,
                  wish_.wanted, Carrier{control_.get(), domain_, false, {}});
    if (wish_.both_families) dial_->want_both_families();
    return true;
}

int Agreement::try_once() {
    end_connection();
    if (!begin()) return errno;
    // Neither listen() nor getsockname() is a cancellation point, or knows EINTR.
    const sys::CancellationHeld held;
    while (drive(*dial_, Clock::time_point::max()) != 0) {
    }
    return dial_->error();
}

void Agreement::end_connection() noexcept {
    dial_.reset();
    control_.reset();
    waiting_.clear(); // the proxy resets them
    notes_size_ = 0;
}

void Agreement::begin_service() noexcept {
    pause_ = shortest_pause;
    waits_for_room_ = false;
    told_backlog_ = 0;
    stage_ = dial_->takes_many() ? Stage::listening : Stage::awaiting;
    if (stage_ == Stage::awaiting) dial_->await_peer();
}

void Agreement::pause_before_next_try() {
    end_connection();
    until_ = Clock::now() + pause_;
    pause_ = std::min(2 * pause_, longest_pause);
    stage_ = Stage::pausing;
}

// --- LISTEN ---

/// Over, if the connection is.
sys::worker::Wait Agreement::listen_on() {
    sys::worker::Wait wait;
    try {
        if (!tell_backlog() || !read_notes()) return {.over = true};
        accept_waiting();
        waits_for_room_ = !waiting_.empty();
        if (waiting_.size() < most_waiting) {
            wait.fd = control_.get();
            wait.events = EPOLLIN;
        }
    } catch (const std::bad_alloc&) {
        wait.deadline = Clock::now() + without_memory; // what has not been taken waits
    }
    return wait;
}

/// False if that can't be sent: there has always been room for so little.
bool Agreement::tell_backlog() noexcept {
    const int backlog = listener_->backlog();
    if (backlog == told_backlog_) return true;
    const auto note = encode(Note{NoteType::backlog, static_cast<std::uint32_t>(backlog), {}});
    const auto octets = note.bytes();
    if (real::send(control_.get(), octets.data(), octets.size(), MSG_DONTWAIT | MSG_NOSIGNAL) !=
        static_cast<ssize_t>(octets.size()))
        return false;
    told_backlog_ = backlog;
    return true;
}

/// False if no more will come.
bool Agreement::read_notes() {
    while (waiting_.size() < most_waiting) {
        const auto note = parse_note({notes_.data(), notes_size_});
        if (note.outcome == Outcome::malformed) {
            log::line(log::Level::info, "what the proxy sends is no note of a listener's");
            return false;
        }
        if (note) {
            take(note.value);
            forget_notes(note.size);
            continue;
        }
        const auto size = real::recv(control_.get(), notes_.data() + notes_size_, notes_.size() - notes_size_,
                                     MSG_DONTWAIT);
        if (size < 0) return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM;
        if (size == 0) return false;
        notes_size_ += static_cast<std::size_t>(size);
    }
    return true;
}

void Agreement::forget_notes(std::size_t size) noexcept {
    notes_size_ -= size;
    std::memmove(notes_.data(), notes_.data() + size, notes_size_);
}

void Agreement::take(const Note& note) {
    switch (note.type) {
    case NoteType::peer: waiting_.push_back({note.value, note.peer}); break;
    case NoteType::gone:
        std::erase_if(waiting_, [&](const Waiting& one) { return one.id == note.value; });
        break;
    case NoteType::backlog: break; // ours to send
    }
}

/// As many as there is room for.
void Agreement::accept_waiting() {
    for (; !waiting_.empty() && listener_->has_room(); waiting_.pop_front()) {
        const auto& [id, peer] = waiting_.front();
        std::unique_ptr<sys::worker::Task> acceptance = std::make_unique<Acceptance>(
            sys::Place(listener_), WaitingRoom{dial_->upstream(), proxy()}, id, peer, domain_);
        sys::worker::post(acceptance); // to this thread: it needs no other
    }
}

/// As we reach it; nothing if it has no address.
std::optional<Endpoint> Agreement::proxy() const noexcept {
    const auto address = sys::peer_address(control_.get());
    return address ? sys::to_endpoint(address->get(), address->size) : std::nullopt;
}

} // namespace socksify::shim
