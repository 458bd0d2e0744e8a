// One way to a destination, from the choice of a proxy to the last octet of the handshake, without ever
// waiting.
//
// Goal: the same code for a blocking connect() (driven on the program's thread), a parked one and a probe
// (driven by the worker). `advance` goes on as far as it can and says what it waits for.
//
//   next_upstream → next_address → connecting → shaking → over
//        ▲               ▲  └──────── no way there ─┘│ │
//        │               └─ again_plainly ───────────┘ │
//        └────────── the proxy itself is of no use ────┘
//
// A fresh connection is made on the same socket: connect(AF_UNSPEC) takes a TCP socket back to where it was,
// with all its options, so no number and no description of the program's changes. Only a proxy of a family
// that the socket can't reach, AF_UNIX among them, needs another socket (see `Carrier`).
#pragma once

#include "policy/plan.hpp"
#include "sys/parked.hpp"
#include "sys/rules.hpp"
#include "sys/worker.hpp"

#include <span>
#include <vector>

namespace socksify::shim {

/// The socket that a Dial works on.
struct Carrier {
    int fd = -1;
    int domain = 0;                      ///< AF_INET, AF_INET6 or AF_UNIX
    bool blocking = true;                ///< of its description
    std::shared_ptr<sys::Parked> parked; ///< whose hidden descriptor `fd` is, if it is one
    int flags = -1;                      ///< F_GETFL of the program's own description; -1: not known
};

class Dial {
public:
    using Clock = sys::worker::Clock;

    enum class Purpose : std::uint8_t {
        connect,   ///< to the destination, through one of `upstreams`
        direct,    ///< to the destination, a name that is to be resolved here
        associate, ///< UDP ASSOCIATE by one of `upstreams`; `destination` is for the log
        listen, ///< for many peers: LISTEN by one of `upstreams`, or else BIND. `destination`, of either, is
                ///< DST of BIND: the only peer, or zeros, and the port
        bind,   ///< for one peer: the same, BIND before LISTEN
        accept, ///< ACCEPT of a peer; `destination` is that peer, for the log. See `accept_peer`
        open_session, ///< OPEN SESSION by the first of `upstreams`: see session.hpp
        probe,        ///< LIST-FEATURES to the first of `upstreams`; `destination` is the host of interest
        hold,         ///< a connection to the first of `upstreams` that waits for its command: see held.hpp
    };
    /// How a probe asks. It begins pipelined, to see whether the proxy takes that, and goes on to the next
    /// where the answer leaves something open (doc/wire.md, "Pipelining").
    enum class Question : std::uint8_t {
        pipelined, ///< LIST-FEATURES in one segment with what comes before it
        harmless,  ///< the same with UDP ASSOCIATE, which servers answer that close upon LIST-FEATURES
        alone,     ///< one message after the other
    };

    /// `upstreams` must live as long: those of the rules do.
    Dial(Purpose purpose, const sys::Rules& rules, std::span<const std::size_t> upstreams,
         const Endpoint& destination, Carrier carrier);
    /// The same, with upstreams of its own.
    Dial(Purpose purpose, const sys::Rules& rules, std::vector<std::size_t> upstreams,
         const Endpoint& destination, Carrier carrier)
        : Dial(purpose, rules, std::span<const std::size_t>(upstreams), destination, std::move(carrier)) {
        own_upstreams_ = std::move(upstreams); // whose octets stay where they are
    }
    Dial(Dial&&) = default;
    Dial& operator=(Dial&&) = delete;
    ~Dial() = default;

    sys::worker::Wait advance();
    /// What can be done before the first `advance` without blocking: at best the first connect() to a proxy
    /// is under way. Throws std::bad_alloc; then it is over.
    void begin();
    /// The end, wherever it stands: the socket can be connected again, and is of its own family.
    void abandon(int error) noexcept;
    /// SO_RCVLOWAT as the program has set it, until a reply is waited for again.
    void give_low_water_back() noexcept;
    /// The socket goes on under another number: the connect() has been parked half-way.
    void move_to(int fd, std::shared_ptr<sys::Parked> parked) {
        carrier_.fd = fd;
        carrier_.parked = std::move(parked);
    }
    /// Of Purpose::listen: peers of both families may come, if the proxy can do that.
    void want_both_families() noexcept { wants_both_families_ = true; }
    /// Of Purpose::accept: the peer's ID, and where the proxy is that has told it; nowhere if that has no
    /// address.
    void accept_peer(std::uint32_t id, const std::optional<Endpoint>& proxy) {
        peer_id_ = id;
        proxy_ = proxy;
    }
    /// Of a probe: the question that the caller claimed for it, given back if it gets no answer; and the
    /// method that the proxy has chosen on the program's connection.
    void adopt_claim(const policy::Circumstances& at, Method method, Question question) {
        claim_ = at;
        chosen_ = method;
        question_ = question;
    }

    /// Of Purpose::hold: goes like this plan of a connect() through the same upstream.
    void adopt_plan(const policy::Plan& plan);

    /// Once over: 0, or the errno for the program.
    [[nodiscard]] int error() const noexcept { return error_; }
    [[nodiscard]] bool has_failed() const noexcept { return state_ == State::over && error_ != 0; }
    [[nodiscard]] const Carrier& carrier() const noexcept { return carrier_; }
    /// When it last went on.
    [[nodiscard]] Clock::time_point now() const noexcept { return now_; }
    /// The proxy that it has used.
    [[nodiscard]] std::size_t upstream() const noexcept { return upstream_; }
    /// Of a listener's, once over without an error: whether it is LISTEN that was granted. Then notes follow.
    [[nodiscard]] bool takes_many() const noexcept {
        return handshake_ && handshake_->command() == Command::listen;
    }
    /// If it is BIND: goes on, until the peer has come, however long it takes.
    void await_peer() noexcept;
    /// Once over: the proxy has understood the request, and said no.
    [[nodiscard]] bool was_refused() const noexcept {
        return handshake_ && handshake_->failure() == Failure::command_refused;
    }
    /// Once over without an error: BND as the proxy said it, often zeros. Of Purpose::associate, where it
    /// takes datagrams; of a listener's, where it listens, and after await_peer() who has come.
    [[nodiscard]] Endpoint bound() const noexcept { return handshake_ ? handshake_->bound() : Endpoint{}; }
    /// Of Purpose::open_session, once over without an error.
    [[nodiscard]] const SessionGrant& session() const noexcept { return handshake_->session(); }

private:
    enum class State : std::uint8_t { next_upstream, next_address, connecting, shaking, over };
    using Wait = std::optional<sys::worker::Wait>; // nothing: go on

    void look_at_clock();
    void resolve_direct();
    void try_next_upstream();
    void try_next_address();
    Wait check_connecting();
    void on_unreachable(int error);
    Wait shake();
    void on_silence();
    void on_shaken();
    void on_question_shaken(bool silent);
    void ask_again(Question question);
    void try_sequentially();
    bool take_held();
    /// It is the library's own, for connects to come.
    [[nodiscard]] bool nobody_waits() const noexcept {
        return purpose_ == Purpose::hold || purpose_ == Purpose::open_session;
    }
    [[nodiscard]] bool is_on_held() const noexcept {
        return handshake_ && handshake_->plan().exchange == Exchange::held_command;
    }
    [[nodiscard]] bool is_pipelined() const noexcept { return plan_->handshake.pipelined; }
    [[nodiscard]] bool may_be_for_held(Failure failure) const noexcept;
    void try_without_held();
    void on_held_silence();
    [[nodiscard]] Clock::duration patience_on_held() const;
    void on_hold_shaken();
    void begin_handshake(const Endpoint& destination);
    void try_without_session();
    [[nodiscard]] Clock::duration patience_for_reply() const;
    void try_this_address_again();
    void start_probe_if_claimed();
    void end(int error);
    void upstream_failed(int error);
    /// What is asked for, and what else would do, the better before the worse.
    struct Requests {
        Request first;
        std::vector<Request> otherwise{};
    };
    [[nodiscard]] Requests requests() const;
    [[nodiscard]] bool is_listener() const noexcept {
        return purpose_ == Purpose::listen || purpose_ == Purpose::bind;
    }
    [[nodiscard]] const char* done_by() const noexcept;
    bool plan_attempt();
    bool take_ready_plan();
    bool make_plan();
    struct Outlook {
        policy::Found found;
        policy::Ask ask = policy::Ask::no;
    };
    Outlook look_up();
    /// By what is known of the proxy, which has not failed this Dial yet.
    [[nodiscard]] bool goes_as_known() const noexcept { return !plainly_ && !sequentially_; }
    [[nodiscard]] Endpoint datagram_source() const;
    void make_probe_plan();
    std::optional<Endpoint> resolve_destination(bool only_ipv4);
    void disconnect();
    int reach(const Endpoint& to);
    [[nodiscard]] int connect_without_waiting(const sys::Address& to) const;
    int connect_with_messages(const sys::Address& to);
    bool change_family(int domain);
    bool replace_socket(int other, int domain);
    void learn();
    void learn_of_pipelining(policy::Pipelining seen, Method method);
    void give_claim_back();
    bool find_upstream();
    [[nodiscard]] const Endpoint& address(std::size_t i) const {
        return found_.empty() ? literal_ : found_[i];
    }
    [[nodiscard]] const policy::Upstream& config() const { return rules_.config.upstreams[upstream_]; }
    [[nodiscard]] Wait wait(std::uint32_t events);

    const sys::Rules& rules_;
    std::span<const std::size_t> upstreams_;
    std::vector<std::size_t> own_upstreams_;
    std::uint64_t down_ = 0; // a bit for each of the first 64 that was down when we began: they come last
    std::size_t next_upstream_ = 0; // twice around: those that are up, and then the others
    std::size_t upstream_ = 0;
    Endpoint literal_;            // of an upstream that needs no look-up
    std::vector<Endpoint> found_; // else, or of the destination (direct)
    std::size_t address_count_ = 0;
    std::size_t next_address_ = 0;
    Endpoint destination_; // as the proxy is told
    Carrier carrier_;
    int own_domain_;                           // of the socket as the program made it
    std::shared_ptr<const policy::Plan> plan_; // of the attempt under way; its handshake without destination
    std::shared_ptr<policy::Session> session_; // that takes the password's place
    std::optional<ClientHandshake> handshake_; // as planned, from before the first octet
    std::optional<policy::Circumstances> claim_; // the cache's one question, while it is ours to ask
    std::optional<Endpoint> proxy_;              // of Purpose::accept: no other will do
    std::uint32_t peer_id_ = 0;
    bool wants_both_families_ = false;
    std::optional<Method> chosen_; // of a probe: by the proxy, on the program's connection
    Purpose purpose_;
    Question question_ = Question::pipelined; // of a probe; else of the one to be started
    State state_ = State::next_upstream;
    bool plainly_ = false;         // a contradiction has been met: neither ask nor believe
    bool sequentially_ = false;    // pipelined, it has failed
    bool without_session_ = false; // one was refused
    bool asked_others_ = false;    // what other processes have learnt was looked at
    bool asked_ = false;           // once is enough for one destination
    bool is_greeting_ = false;     // the first octets have not left: it may not be connected yet
    bool touched_ = false;         // the socket is no longer as the program gave it
    int low_water_ = 0;            // the program's SO_RCVLOWAT, while it is 1 for our sake
    bool may_block_ = true;
    bool as_ipv4_ =
        false; // of Purpose::associate: the zeros for an address are IPv4's, whatever the connection is
    bool awaits_peer_ = false;
    bool may_be_held_ = false;     // connections that the proxy holds may carry it, and are of use
    bool held_has_failed_ = false; // one did, and it was of no use
    bool is_acknowledged_ = false; // what was sent on one has arrived
    bool postponed_ = false;       // a name must be looked up, and this is no time to block
    int error_ = 0;
    Clock::time_point now_{}; // when it last went on
    Clock::time_point started_{};
    Clock::time_point deadline_{};
};

/// Runs `dial` on this thread as a blocking connect() waits: to its end (0), until a signal whose handler
/// does not restart calls (EINTR), or until `patience` is over (EINPROGRESS). Cancellation passes through.
int drive(Dial& dial, Dial::Clock::time_point patience);

} // namespace socksify::shim
