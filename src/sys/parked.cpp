#include "sys/parked.hpp"

#include "sys/fd_marks.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/peers.hpp"
#include "sys/real.hpp"
#include "sys/socket_options.hpp"
#include "sys/worker.hpp"

#include <array>
#include <sys/mman.h>
#include <utility>

namespace socksify::sys {
namespace {

/// Fills the send buffer of `stand_in`, so that a write gets EAGAIN and poll() sees nothing. False, with errno,
/// if there is no memory for it.
bool fill(int stand_in) noexcept {
    int smallest = 0; // the kernel rounds it up to its minimum
    real::setsockopt(stand_in, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest);
    static constexpr std::array<char, 4096> octets{};
    bool is_empty = true;
    while (real::send(stand_in, octets.data(), octets.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        is_empty = false;
    // The kernel asks how much is in the buffer, not how much is to come (sock_alloc_send_pskb): what refuses a
    // piece for no other reason refuses an octet, too. A program must not be woken by one that is not full.
    if (!is_empty && errno == EAGAIN) return true;
    errno = ENOBUFS;
    return false;
}

void drain(int waker) noexcept {
    std::array<char, 4096> octets;
    while (real::recv(waker, octets.data(), octets.size(), MSG_DONTWAIT) > 0) {
    }
}

/// What parent and children read of a connect(): an errno, 0 for a connection, or this.
constexpr int under_way = -1;

/// A place for one outcome in memory that survives fork() shared. Places come round again after 65536
/// connects, when no child can still be waiting for the old one. Null if there is no memory: a child then
/// never learns.
std::atomic<int>* take_outcome() noexcept {
    using Place = std::atomic<int>;
    static_assert(Place::is_always_lock_free);
    constexpr std::size_t places = 65536;
    static constinit std::atomic<Place*> mapped{nullptr};
    static constinit std::atomic<std::size_t> next{0};
    auto* all = mapped.load();
    if (all == nullptr) {
        void* memory =
            mmap(nullptr, places * sizeof(Place), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return nullptr;
        if (mapped.compare_exchange_strong(all, static_cast<Place*>(memory)))
            all = static_cast<Place*>(memory);
        else munmap(memory, places * sizeof(Place)); // another thread was faster
    }
    auto* place = &all[next.fetch_add(1) % places];
    place->store(under_way);
    return place;
}

constexpr int settable_flags = O_APPEND | O_ASYNC | O_NONBLOCK; // those of F_SETFL that a socket can have

/// dup3(2): EBUSY and EINTR are a matter of the moment.
bool put_under(int from, int number, int flags) noexcept {
    constexpr int most_attempts = 100;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        if (real::dup3(from, number, flags) >= 0) return true;
        if (errno != EBUSY && errno != EINTR) return false;
    }
    errno = EAGAIN;
    return false;
}

} // namespace

bool replace_description(int from, int to) noexcept {
    const int descriptor_flags = real::fcntl(to, F_GETFD);
    if (descriptor_flags < 0) return false;
    const int flags = (descriptor_flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0;
    auto watches = fds::watches(to);
    // The way back, should a registration be refused.
    const int before = watches.size > 0 ? duplicate_internally(to) : -1;
    const auto begin = watches.all.begin();
    // An instance that does not have it is one that was closed behind our back.
    const auto end = std::remove_if(begin, begin + static_cast<std::ptrdiff_t>(watches.size),
                                    [&](const fds::Watch& watch) {
                                        return real::epoll_ctl(watch.epoll, EPOLL_CTL_DEL, to, nullptr) != 0;
                                    });
    // The first that is refused; `end` if none is.
    const auto register_again = [&] {
        return std::find_if_not(begin, end, [&](fds::Watch& watch) {
            return real::epoll_ctl(watch.epoll, EPOLL_CTL_ADD, to, &watch.event) == 0;
        });
    };
    bool replaced = put_under(from, to, flags);
    int error = errno;
    const auto refused = register_again();
    if (replaced && refused != end && before >= 0) {
        // max_user_watches (ENOSPC), or no memory: the program must not wait for events that can't come.
        error = ENOMEM;
        for (auto watch = begin; watch != refused; ++watch)
            real::epoll_ctl(watch->epoll, EPOLL_CTL_DEL, to, nullptr);
        if (put_under(before, to, flags)) {
            replaced = false;
            register_again();
        }
    }
    close_internal(before);
    if (!replaced) errno = error;
    return replaced;
}

void unwatch_number(int fd) noexcept {
    const KeepErrno keep;
    const auto watches = fds::watches(fd);
    for (std::size_t i = 0; i < watches.size; ++i)
        real::epoll_ctl(watches.all[i].epoll, EPOLL_CTL_DEL, fd, nullptr);
}

namespace {

/// All numbers of the description of `fd`, `fd` first.
std::vector<int> numbers_of(int fd) {
    std::vector<int> numbers{fd};
    if (!fd_marks.has(fd, FdMarks::shared)) return numbers;
    const auto cookie = cookie_of(fd);
    fd_marks.for_each_shared([&](int other) {
        if (other != fd && cookie_of(other) == cookie) numbers.push_back(other);
    });
    return numbers;
}

} // namespace

std::shared_ptr<Parked> Parked::park(int fd, const Address& peer, int domain) {
    std::shared_ptr<Parked> parked(new Parked);
    parked->numbers_ = numbers_of(fd);
    parked->outcome_ = take_outcome();
    at_fork_in_child([] {
        fds::visit_in_child([](const Socket& socket) {
            if (socket.parked) socket.parked->become_orphan();
        });
    });
    const SocketRef entry(Socket::State::parked, 0, peer, domain, parked);
    parked->connected_ = SocketRef(Socket::State::connected, 0, peer, domain);
    parked->failed_ = SocketRef(Socket::State::failed, 0, peer, domain);
    const auto give_up = [&] {
        const KeepErrno keep;
        for (const int number : parked->numbers_) fds::forget_socket(number);
        return nullptr;
    };
    for (const int number : parked->numbers_) fds::put(number, entry);
    // What may fail for want of memory has not failed from here on.

    parked->status_flags_ = real::fcntl(fd, F_GETFL);
    if (parked->status_flags_ < 0) return give_up();
    int stand_in = -1;
    {
        const RoomAboveSoftLimit room;
        int pair[2];
        parked->hidden_ = duplicate_internally(fd, room);
        if (parked->hidden_ >= 0 &&
            real::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0) {
            parked->waker_ = make_internal(pair[1], room);
            stand_in = pair[0];
        }
    }
    if (stand_in < 0) return give_up();
    parked->stand_in_cookie_ = cookie_of(stand_in);
    copy_low_water(fd, stand_in);
    entry.unseen().cookie = parked->failed_.unseen().cookie = parked->stand_in_cookie_;
    // A blocking socket is parked when its connect() was interrupted; the stand-in blocks as it would.
    const bool is_like_it =
        (parked->status_flags_ & O_NONBLOCK) != 0 || real::fcntl(stand_in, F_SETFL, 0) == 0;
    const auto& numbers = parked->numbers_;
    auto refused = numbers.begin();
    if (is_like_it && fill(stand_in))
        refused = std::find_if_not(numbers.begin(), numbers.end(),
                                   [&](int number) { return replace_description(stand_in, number); });
    const KeepErrno keep;
    real::close(stand_in);
    if (refused == numbers.end()) return parked;
    for (auto number = numbers.begin(); number != refused; ++number)
        replace_description(parked->hidden_, *number);
    return give_up();
}

Parked::~Parked() {
    close_internal(hidden_);
    close_internal(waker_);
}

void Parked::replace_hidden(int fd) noexcept {
    const std::lock_guard lock(mutex_);
    close_internal(std::exchange(hidden_, fd));
}

void Parked::cancel() noexcept {
    if (orphan_ || forks_before_ != fork_count()) return; // others wait for the outcome
    cancelled_.store(true, std::memory_order_release);
    worker::wake();
}

void Parked::become_orphan() noexcept {
    orphan_ = true;
    mutex_.renew_in_child();
    // Ours would keep the stand-in from noticing when the parent's worker lets go of its end.
    close_internal(std::exchange(waker_, -1));
}

void Parked::follow() noexcept {
    const std::lock_guard lock(mutex_);
    if (!orphan_ || hidden_ < 0 || outcome_ == nullptr || !failed_) return;
    const int outcome = outcome_->load();
    if (outcome == under_way) return;
    outcome == 0 ? unpark_locked() : fail_locked(outcome);
}

SocketRef detail::find_known_socket(int fd) noexcept {
    auto socket = fds::find(fd);
    if (socket && socket->state == Socket::State::parked) {
        socket->parked->follow();
        socket = fds::find(fd);
    }
    return socket;
}

bool Parked::is_stand_in(int number) const noexcept { return cookie_of(number) == stand_in_cookie_; }

/// What the program did to the stand-in meanwhile, it meant for its socket.
void Parked::carry_over(int description) const noexcept {
    const auto number = std::find_if(numbers_.begin(), numbers_.end(), [&](int n) { return is_stand_in(n); });
    if (number == numbers_.end()) return;
    copy_low_water(*number, description);
    const int wanted = real::fcntl(*number, F_GETFL);
    if (wanted < 0 || ((wanted ^ status_flags_) & settable_flags) == 0) return;
    const int now = real::fcntl(description, F_GETFL);
    if (now >= 0) real::fcntl(description, F_SETFL, (now & ~settable_flags) | (wanted & settable_flags));
}

void Parked::give_back_descriptions() noexcept {
    carry_over(hidden_);
    std::erase_if(numbers_, [&](int number) {
        if (!is_stand_in(number)) return true; // closed behind our back: not ours to touch
        fds::put(number, connected_); // first: a program that is woken by the swap finds the new state
        if (replace_description(hidden_, number)) return true;
        log::line(log::Level::error, "fd %d could not be given back: errno %d", number, errno);
        return false;
    });
}

void Parked::unpark(const Address& local, std::size_t upstream) noexcept {
    const std::lock_guard lock(mutex_);
    connected_.unseen().local = local;
    connected_.unseen().upstream = upstream;
    if (outcome_ != nullptr) outcome_->store(0);
    unpark_locked();
}

void Parked::unpark_locked() noexcept {
    connected_.unseen().cookie = cookie_of(hidden_);
    connected_.unseen().over_unix = is_unix(hidden_);
    connected_->second_connect_succeeds.store(true);
    peers::remember(connected_->cookie, connected_->peer);
    give_back_descriptions();
    // Those that still have the stand-in can't have the connection: better an error than silence.
    if (!numbers_.empty()) return fail_locked(ENOBUFS);
    if (waker_ >= 0) drain(waker_);
    close_internal(std::exchange(waker_, -1));
    close_internal(std::exchange(hidden_, -1));
}

void Parked::fail(int error) noexcept {
    const std::lock_guard lock(mutex_);
    if (outcome_ != nullptr) outcome_->store(error);
    fail_locked(error);
}

void Parked::fail_locked(int error) noexcept {
    failed_->error.store(error);
    failed_.unseen().parked = shared_from_this();
    const auto entry =
        std::move(failed_); // the table's from now on: an entry of ours that points to us would never go
    for (const int number : numbers_) {
        if (!is_stand_in(number)) continue;
        fds::put(number, entry);
        fd_marks.set(number, FdMarks::failed);
    }
    // Closed with octets unread: the kernel gives the stand-in an error and a hang-up.
    close_internal(std::exchange(waker_, -1));
}

bool Parked::give_up() noexcept {
    const std::lock_guard lock(mutex_);
    const int fresh = open_like(hidden_, connected_->domain);
    if (fresh < 0) return false;
    const bool replaced = replace_stand_ins(fresh);
    const KeepErrno keep;
    real::close(fresh);
    if (replaced) cancel();
    return replaced;
}

void Parked::restore() noexcept {
    const std::lock_guard lock(mutex_);
    if (hidden_ < 0) return;
    if (replace_stand_ins(hidden_)) close_internal(std::exchange(hidden_, -1));
    else if (failed_) fail_locked(ENOBUFS); // it was under way, and nobody is at work on it
}

bool Parked::replace_stand_ins(int description) noexcept {
    carry_over(description);
    std::erase_if(numbers_, [&](int number) {
        if (!is_stand_in(number)) return true;
        if (!replace_description(description, number)) return false;
        fds::forget_socket(number);
        return true;
    });
    return numbers_.empty();
}

} // namespace socksify::sys
