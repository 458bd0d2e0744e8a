// A connection that the program has already, though the proxy has not answered yet: a rule says "optimistic",
// and the proxy takes early data.
//
// Goal: connect() waits for nobody. What the program writes follows greeting, password and request at once,
// and what it reads is what follows their replies. The socket is the program's own from the beginning.
//
//   unsent ─ the messages have left ─> sent ─ a good reply has been taken ─> answered
//      └──────── no connection ─────────┴──────── any other, or none ─────> broken
//
// Who goes on: whoever comes first. Before the program writes, the messages must have left; before it reads,
// the replies must have been taken: the hooks see to both (shim/optimistic.cpp). The worker sends the
// messages of a program that does neither, and watches the time. Nothing waits in here.
//
// Pollers: a reply makes a socket readable though there is nothing for the program to read. So the socket is
// readable (SO_RCVLOWAT) with one octet more than the replies have at least. A longer reply wakes a poller
// for nothing, which poll(2) allows. And Nagle's algorithm would keep the program's first octets until the
// proxy's kernel has acknowledged the messages. Both options are borrowed, and given back with the reply; the
// program sees its own meanwhile.
//
// With TCP Fast Open and a cookie of the proxy's, the kernel keeps the SYN until there is something to send
// (TCP_FASTOPEN_CONNECT). The program's first octets come along, if there are any soon.
//
// Ownership: the fd table's entry and the worker's task share one. The table's part ends with the program's
// last number: then the worker takes the reply, and ends the connection, on a duplicate that is this
// process's alone; with a reply unread, close() would cut the connection, and what the program has written
// would be lost. fork() and exec wait until nothing is unanswered (shim/optimistic.cpp). A child that comes
// about beside that has a broken connection, and leaves the parent's alone.
#pragma once

#include "socksify/handshake.hpp"
#include "sys/address.hpp"
#include "sys/internal_fds.hpp"
#include "sys/mutex.hpp"
#include "sys/worker.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <sys/socket.h>
#include <sys/types.h>

namespace socksify::sys {

class Unanswered : public std::enable_shared_from_this<Unanswered> {
public:
    enum class State : std::uint8_t { unsent, sent, answered, broken };

    /// For `fd`, on which nothing has begun. Null, with errno, if there is no descriptor for it; throws
    /// std::bad_alloc. `plan`, whose destination is not looked at, must be pipelined, and what it refers to live as long.
    static std::shared_ptr<Unanswered> make(int fd, const ClientPlan& plan, const Endpoint& destination,
                                            std::size_t upstream);
    Unanswered(const Unanswered&) = delete;
    Unanswered& operator=(const Unanswered&) = delete;

    /// Begins the connection. `is_blocking`: of the description. 0, or the errno of what failed: then the
    /// socket is as it was. Throws std::bad_alloc, likewise.
    int connect(const Address& proxy, bool fast_open, bool is_blocking);

    /// Goes on as far as it can without waiting.
    State advance();
    /// The messages and the beginning of `message` with the SYN; how many octets of the latter have left.
    /// Nothing if that can't be, or not any more. `flags` as of sendmsg().
    std::optional<std::size_t> send_with_syn(const msghdr& message, int flags);

    [[nodiscard]] State state() const noexcept { return state_.load(std::memory_order_acquire); }
    /// Whether there is one in this process that is not over.
    [[nodiscard]] static bool has_any() noexcept;
    [[nodiscard]] bool is_over() const noexcept { return state() >= State::answered; }
    /// Whether, over, it has no duplicate of the program's description any more.
    [[nodiscard]] bool has_let_go() const noexcept { return has_let_go_.load(std::memory_order_acquire); }
    /// Of `broken`: what the program has to be told, once; 0 if the kernel tells.
    int take_error() noexcept { return error_.exchange(0); }
    /// Of `answered`: BND.
    [[nodiscard]] Endpoint bound();
    /// Whether connect() has said that there is a connection, whatever the kernel says.
    [[nodiscard]] bool is_promised() const noexcept { return promised_; }
    /// The program takes the socket for something else: what happens to it is no business of ours any more.
    void cancel() noexcept;

    /// While one lives, a reply without anything behind it makes the socket readable.
    class AwaitingReply {
    public:
        explicit AwaitingReply(Unanswered& unanswered) noexcept : unanswered_(unanswered) {
            ++unanswered_.awaiting_reply_;
        }
        ~AwaitingReply() { --unanswered_.awaiting_reply_; }
        AwaitingReply(const AwaitingReply&) = delete;
        AwaitingReply& operator=(const AwaitingReply&) = delete;

    private:
        Unanswered& unanswered_;
    };

    /// What the program has set, of an option that is borrowed.
    [[nodiscard]] std::optional<int> own_option(int level, int name) noexcept;
    /// The program sets an option: it is its own from now on.
    void on_option_set(int level, int name) noexcept;

private:
    friend class UnansweredUse;
    class Task;
    struct Borrowed {
        int level;
        int name;
        int own = 0; ///< as the program has it
        bool is_out = false;
        bool is_taken_back = false; ///< by the program
    };

    Unanswered(const ClientPlan& plan, const Endpoint& destination, std::size_t upstream)
        : handshake_(plan, destination), upstream_(upstream) {}
    worker::Wait go_on();
    void leave() noexcept;
    void become_orphan() noexcept;
    static void break_all_in_child();
    bool send_messages();
    bool take_replies();
    void on_sent(std::size_t octets);
    void on_reply(int error);
    void on_failed_connection() noexcept;
    void on_error(int error) noexcept;
    void break_off(int error) noexcept;
    void end(State state) noexcept;
    void let_go() noexcept;
    void borrow(Borrowed& option, int value) noexcept;
    void give_back() noexcept;
    void expect() noexcept;

    ObjectMutex mutex_; // of all that is not atomic; the system calls under it do not block
    ClientHandshake handshake_;
    OwnDescriptor own_; // the worker's to close
    std::array<Borrowed, 2> borrowed_;
    std::size_t upstream_;
    std::size_t lacking_ = 0; ///< octets of the replies, at least
    worker::Clock::time_point deadline_{};
    worker::Clock::time_point alone_at_{}; ///< of a kept SYN: when it leaves without the program's octets
    std::atomic<State> state_{State::unsent};
    std::atomic<int> error_{0};
    std::atomic<unsigned> awaiting_reply_{0};
    std::atomic<bool> has_let_go_{false};
    std::atomic<bool> left_{false}; ///< the program has no number for it any more
    int readable_with_ = 0;         ///< octets, as SO_RCVLOWAT was set last
    bool syn_is_kept_ = false;
    bool promised_ = false;
    bool is_shut_ = false;
};

/// What the fd table has of one: it goes with the program's last number.
class UnansweredUse {
public:
    explicit UnansweredUse(std::shared_ptr<Unanswered> unanswered) noexcept
        : unanswered_(std::move(unanswered)) {}
    ~UnansweredUse() { unanswered_->leave(); }
    UnansweredUse(const UnansweredUse&) = delete;
    UnansweredUse& operator=(const UnansweredUse&) = delete;
    [[nodiscard]] Unanswered& operator*() const noexcept { return *unanswered_; }
    [[nodiscard]] Unanswered* operator->() const noexcept { return unanswered_.get(); }

private:
    std::shared_ptr<Unanswered> unanswered_;
};

} // namespace socksify::sys
