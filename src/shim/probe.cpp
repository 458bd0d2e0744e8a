#include "shim/probe.hpp"

#include "sys/internal_fds.hpp"
#include "sys/learnt.hpp"
#include "sys/real.hpp"
#include "sys/upstreams.hpp"

namespace socksify::shim {

namespace real = socksify::real;
namespace upstreams = sys::upstreams;

void Dial::make_probe_plan() {
    const bool harmless = question_ == Question::harmless;
    policy::Plan plan;
    auto& handshake = plan.handshake;
    handshake.exchange = harmless ? Exchange::command : Exchange::features;
    handshake.command = Command::udp_associate; // if it is that
    handshake.methods = chosen_ ? MethodList{*chosen_} : policy::methods_to_offer(config(), nullptr);
    handshake.username = config().username;
    handshake.password = config().password;
    handshake.host_of_interest = destination_;
    handshake.pipelined = question_ != Question::alone && handshake.methods.size() == 1 &&
                          config().pipelining != policy::Pipeline::off;
    plan_ = std::make_shared<const policy::Plan>(std::move(plan));
    begin_handshake({});
}

void Dial::ask_again(Question question) {
    question_ = question;
    try_this_address_again();
}

/// A probe's question, answered or not.
void Dial::on_question_shaken(bool silent) {
    using policy::Pipelining;
    using policy::PipeliningSeen;
    const auto method = handshake_->method();
    if (!is_pipelined()) {
        learn();
        return end(handshake_->failure() == Failure::none ? 0 : EOPNOTSUPP);
    }
    const auto seen = silent ? PipeliningSeen::refused : policy::seen_of_pipelining(*handshake_);
    const bool asked_for_features = question_ == Question::pipelined;
    switch (seen) {
    case PipeliningSeen::tolerated:
        // Of a server that answers UDP ASSOCIATE and nothing to LIST-FEATURES we know that it has none.
        if (!asked_for_features)
            upstreams::with_features([&](auto& cache) {
                cache.remember_none(upstream_, Clock::now(), config().feature_lifetime);
            });
        else learn();
        learn_of_pipelining(Pipelining::tolerated, method);
        claim_.reset();
        return end(handshake_->failure() == Failure::none ? 0 : EOPNOTSUPP);
    case PipeliningSeen::nothing:
        if (asked_for_features) {
            // A list may follow yet, but a process that ends before leaves that much to the next one.
            const bool ours = upstreams::with_features([&](auto& cache) {
                cache.remember_none(upstream_, Clock::now(), config().feature_lifetime);
                return cache.try_now(upstream_, Clock::now());
            });
            sys::learnt::share(rules_.config, upstream_);
            return ours ? ask_again(Question::harmless) : end(EOPNOTSUPP);
        }
        [[fallthrough]];
    case PipeliningSeen::refused:
        learn_of_pipelining(Pipelining::refused, chosen_.value_or(handshake_->plan().methods[0]));
        return ask_again(Question::alone);
    }
}

namespace {

/// LIST-FEATURES on a connection of its own.
class Probe final : public sys::worker::Task {
public:
    Probe(const sys::Rules& rules, std::size_t upstream, const policy::Circumstances& at, Method method,
          Dial::Question question, int fd, int domain)
        : fd_(fd),
          upstream_(upstream),
          dial_(Dial::Purpose::probe, rules, {&upstream_, 1}, Endpoint{at.destination, 0},
                Carrier{fd, domain, false, {}}) {
        dial_.adopt_claim(at, method, question);
    }
    ~Probe() override { sys::close_internal(fd_); }
    Probe(const Probe&) = delete;
    Probe& operator=(const Probe&) = delete;

    sys::worker::Wait run() override { return dial_.advance(); }
    void finish() noexcept override {}
    void abandon(int) noexcept override {}

private:
    int fd_;
    std::size_t upstream_; ///< the one that dial_ tries
    Dial dial_;
};

} // namespace

bool start_probe(const sys::Rules& rules, std::size_t upstream, const policy::Circumstances& at,
                 Method method, Dial::Question question) noexcept {
    // AF_INET6 reaches proxies of both families; where the kernel has none, AF_INET has to do.
    int domain = AF_INET6;
    const auto open = [&] { return real::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); };
    int fd = open();
    if (fd < 0) {
        domain = AF_INET;
        fd = open();
    }
    if (fd < 0) return false;
    fd = sys::make_internal(fd);
    try {
        std::unique_ptr<sys::worker::Task> probe =
            std::make_unique<Probe>(rules, upstream, at, method, question, fd, domain);
        fd = -1; // the probe's
        return sys::worker::post(probe);
    } catch (const std::bad_alloc&) {
        sys::close_internal(fd);
        return false;
    }
}

} // namespace socksify::shim
