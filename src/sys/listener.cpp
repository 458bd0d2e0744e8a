#include "sys/listener.hpp"

#include "sys/fd_marks.hpp"
#include "sys/fd_table.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/mutex.hpp"
#include "sys/real.hpp"
#include "sys/socket_options.hpp"

#include <cstring>
#include <linux/filter.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace socksify::sys {

namespace {

/// Who maps it relies on it.
constexpr int size_is_final = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/// Memory of `size` octets, zeros; -1 with errno.
int make_memory(std::size_t size) noexcept {
    const int fd = open_with_room([] { return memfd_create("socksify", MFD_CLOEXEC | MFD_ALLOW_SEALING); });
    if (fd < 0) return -1;
    const int memory = make_internal(fd);
    if (ftruncate(memory, static_cast<off_t>(size)) == 0 &&
        real::fcntl(memory, F_ADD_SEALS, size_is_final) == 0)
        return memory;
    const KeepErrno keep;
    close_internal(memory);
    return -1;
}

bool is_memory_of(int fd, std::size_t size) noexcept {
    struct stat status {};
    const int seals = real::fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & size_is_final) == size_is_final && fstat(fd, &status) == 0 &&
           status.st_size == static_cast<off_t>(size);
}

} // namespace

bool Listener::map(int memory) noexcept {
    void* shared = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (shared != MAP_FAILED) shared_ = static_cast<Shared*>(shared);
    return shared != MAP_FAILED;
}

std::shared_ptr<Listener> Listener::make(const Address& local, std::string terms) {
    std::shared_ptr<Listener> listener(new Listener(local, std::move(terms)));
    listener->memory_ = make_memory(sizeof(Shared));
    if (listener->memory_ < 0 || !listener->map(listener->memory_)) return {};
    int pair[2];
    const bool made = [&] {
        const RoomAboveSoftLimit room;
        return real::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0;
    }();
    if (!made) return {};
    for (int i = 0; i < 2; ++i) listener->queue_[i] = make_internal(pair[i]);
    listener->shared_->in = cookie_of(listener->queue_[0]);
    listener->shared_->out = cookie_of(listener->queue_[1]);
    listener->shared_->owner.store(getpid());
    listener->stands_by_.store(getpid());
    listener->forks_before_ = fork_count();
    return listener;
}

Listener::Descriptors Listener::hand_over() const noexcept {
    shared_->is_handed_over.store(true);
    for (const int fd : {memory_, queue_[0], queue_[1]}) real::fcntl(fd, F_SETFD, 0);
    return {memory_, queue_[0], queue_[1]};
}

std::shared_ptr<Listener> Listener::adopt(const Descriptors& descriptors, const Address& local,
                                          std::string terms) {
    const auto [memory, in, out] = descriptors;
    if (!is_memory_of(memory, sizeof(Shared))) return {};
    std::shared_ptr<Listener> listener(new Listener(local, std::move(terms)));
    if (!listener->map(memory)) return {};
    const auto& shared = *listener->shared_;
    if (shared.in == 0 || shared.in != cookie_of(in) || shared.out == 0 || shared.out != cookie_of(out))
        return {};
    for (const int fd : {memory, in, out}) {
        real::fcntl(fd, F_SETFD, FD_CLOEXEC);
        fd_marks.set(fd, FdMarks::internal);
    }
    listener->is_inherited_ = true;
    listener->memory_ = memory;
    listener->queue_[0] = in;
    listener->queue_[1] = out;
    return listener;
}

Listener::~Listener() {
    const KeepErrno keep;
    for (const int fd : {memory_, queue_[0], queue_[1]}) close_internal(fd);
    if (shared_ != nullptr) munmap(shared_, sizeof(Shared));
}

bool Listener::open_door(int fd) noexcept {
    const auto local = local_address(fd);
    if (!local) return false;
    door_ = *local;
    const auto bound = to_endpoint(door_.get(), door_.size);
    if (!bound || !bound->host.is_unspecified()) return true;
    const bool takes_ipv4 = door_.family() == AF_INET || option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
    const int family = takes_ipv4 ? AF_INET : AF_INET6;
    door_ = *to_address({loopback(family), bound->port}, family);
    return true;
}

namespace {

/// A message in the queue: a peer's address, and room for its connection.
struct Passing {
    iovec piece;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};

    explicit Passing(Address& peer) noexcept : piece{&peer, sizeof peer} {
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
    }
    Passing(const Passing&) = delete;
    Passing& operator=(const Passing&) = delete;
};

} // namespace

bool Listener::put(int connection, Address peer) const noexcept {
    Passing out(peer);
    auto* part = CMSG_FIRSTHDR(&out.message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof connection);
    std::memcpy(CMSG_DATA(part), &connection, sizeof connection);
    return real::sendmsg(queue_[0], &out.message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof peer;
}

Arrival Listener::take() const noexcept {
    Arrival arrival;
    Passing in(arrival.peer);
    // At the program's limit there would be no number for it, and the kernel would drop the connection.
    const RoomAboveSoftLimit room;
    if (real::recvmsg(queue_[1], &in.message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof arrival.peer)
        return {};
    const auto* part = CMSG_FIRSTHDR(&in.message);
    if (part != nullptr && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
        std::memcpy(&arrival.fd, CMSG_DATA(part), sizeof arrival.fd);
    return arrival;
}

bool Listener::takes_for_knock(const Address& from) const noexcept {
    const auto source = to_endpoint(from.get(), from.size);
    const auto door = to_endpoint(door_.get(), door_.size);
    // A knock comes from the address that it goes to.
    if (!source || !door || source->host.unmapped() != door->host.unmapped()) return false;
    const auto bit = bit_of(source->port);
    return (mark_of(source->port).fetch_and(~bit) & bit) != 0;
}

void Listener::set_backlog(int most) noexcept {
    if (most_.exchange(most) != most) worker::wake();
}

bool Listener::inherit(pid_t owner) noexcept {
    if (!shared_->owner.compare_exchange_strong(owner, getpid())) return false;
    coming_.store(0); // those that were on their way are the former owner's
    return true;
}

bool Listener::begins_to_stand_by() noexcept {
    const pid_t here = getpid();
    return stands_by_.load() != here && stands_by_.exchange(here) != here;
}

Place::Place(std::shared_ptr<Listener> listener) noexcept : listener_(std::move(listener)) {
    listener_->coming_.fetch_add(1);
}

Place::~Place() {
    if (listener_ && listener_->coming_.fetch_sub(1) == listener_->most_.load()) worker::wake();
}

void Listener::close() noexcept {
    const pid_t here = getpid();
    // A child of vfork(), which closes what is its own, is in its parent's memory.
    if (here != owner() && here != stands_by_.load()) return;
    // Whoever has the agreement goes on with it as long as another process may have the socket still.
    const bool is_shared = forks_before_ != fork_count() || shared_->is_handed_over.load();
    if (here == owner() && is_shared && agreement == nullptr) return;
    closed_.store(true, std::memory_order_release);
    worker::wake();
}

bool close_to_others(int fd) noexcept {
    constexpr int loopback = 1; // its interface's number, in every network namespace
    // What one of this machine's addresses sends to another comes in by the loopback interface, too.
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_IFINDEX)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, loopback, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
    if (real::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) return true;
    // Not every system lets a user have one. Unlike a filter, this can't be taken back.
    return errno == EPERM &&
           real::setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &loopback, sizeof loopback) == 0;
}

void open_to_others(int fd) noexcept {
    const KeepErrno keep;
    const int ignored = 0;
    real::setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof ignored);
}

void stay_closed_to_others(int fd) noexcept {
    const int on = 1;
    real::setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on);
}

} // namespace socksify::sys
