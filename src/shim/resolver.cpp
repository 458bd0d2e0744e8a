#include "shim/resolver.hpp"

#include "policy/dns_message.hpp"
#include "policy/rules.hpp"
#include "shim/dns_exchange.hpp"
#include "shim/names.hpp"
#include "sys/names.hpp"
#include "sys/rules.hpp"

#include <cstring>
#include <netdb.h>
#include <unistd.h>

namespace socksify::shim {
namespace {

using policy::DnsCode;
using policy::DnsQuestion;
using policy::DnsType;
using Outcome = DnsExchange::Outcome;

/// What becomes of a question; `pass` is the machine's resolver, `ask` the one that the rules name.
struct Response {
    bool pass = false;
    bool ask = false;
    DnsCode code = DnsCode::no_error;
    std::optional<Host> answer{};
};

Response respond_with_address(const DnsQuestion& question, int family) {
    const auto found = answer_for(question.name, family);
    switch (found.kind) {
    case NameAnswer::Kind::system: return {.pass = true};
    case NameAnswer::Kind::address: return {.answer = found.address};
    case NameAnswer::Kind::none: return {.code = DnsCode::no_such_name};
    case NameAnswer::Kind::full: return {.code = DnsCode::server_failure};
    }
    return {.code = DnsCode::server_failure};
}

Response respond_with_name(const DnsQuestion& question) {
    const auto address = policy::reversed_address(question.name);
    if (!address) return {};
    const auto meaning = sys::names::meaning_of(*address);
    if (meaning.name) return {.answer = meaning.name};
    if (!meaning.from_pool && may_ask_locally(*address)) return {.pass = true};
    return {.code = DnsCode::no_such_name};
}

Response respond(const DnsQuestion& question) {
    if (question.klass != policy::dns_class_in) return {.code = DnsCode::refused};
    switch (static_cast<DnsType>(question.type)) {
    case DnsType::a: return respond_with_address(question, AF_INET);
    case DnsType::aaaa: return respond_with_address(question, AF_INET6);
    case DnsType::ptr: return respond_with_name(question);
    }
    const auto name = Host::name(question.name);
    const auto& rules = sys::rules();
    const bool is_local =
        name && policy::answer_name(rules.config, *name, rules.program) == policy::NameAnswer::locally;
    return {.pass = is_local, .ask = !is_local};
}

/// As much of the message as there is room for; the length is the whole message's.
int deliver(const std::vector<std::uint8_t>& message, unsigned char* answer, int size) {
    std::memcpy(answer, message.data(),
                std::min(message.size(), static_cast<std::size_t>(std::max(size, 0))));
    return static_cast<int>(message.size());
}

/// h_errno.
int failure_of(DnsCode code) noexcept {
    switch (code) {
    case DnsCode::no_such_name: return HOST_NOT_FOUND;
    case DnsCode::server_failure: return TRY_AGAIN;
    case DnsCode::no_error:
    case DnsCode::refused: break;
    }
    return NO_RECOVERY;
}

DnsExchange ask(DnsQuestion question) {
    if (getentropy(&question.id, sizeof question.id) != 0) return {};
    const auto query = encode_dns_query(question);
    return query.empty() ? DnsExchange{Outcome::failed, {}} : ask_resolver(query);
}

Verdict<> fail_lookup(int why) {
    h_errno = why;
    return Verdict<>{false, -1, 0};
}

} // namespace

Verdict<> res_query(const char* name, int klass, int type, unsigned char* answer, int size) {
    if (name == nullptr || answer == nullptr) return Verdict<>::pass();
    DnsQuestion question;
    question.name = name;
    if (question.name.ends_with('.')) question.name.pop_back();
    question.type = static_cast<std::uint16_t>(type);
    question.klass = static_cast<std::uint16_t>(klass);
    const auto response = respond(question);
    if (response.pass) return Verdict<>::pass();
    if (response.ask) {
        const auto exchange = ask(question);
        if (exchange.outcome == Outcome::failed) return fail_lookup(TRY_AGAIN);
        if (exchange.outcome == Outcome::no_resolver) return fail_lookup(NO_DATA);
        const auto summary = policy::parse_dns_summary(exchange.response);
        if (!summary) return fail_lookup(TRY_AGAIN);
        if (summary.value.code != 0) return fail_lookup(failure_of(static_cast<DnsCode>(summary.value.code)));
        if (summary.value.answers == 0) return fail_lookup(NO_DATA);
        return Verdict<>::done(deliver(exchange.response, answer, size));
    }
    if (response.code != DnsCode::no_error) return fail_lookup(failure_of(response.code));
    if (!response.answer) return fail_lookup(NO_DATA);
    const auto message = encode_dns_response(question, response.code, response.answer);
    if (message.empty()) return fail_lookup(NO_RECOVERY);
    return Verdict<>::done(deliver(message, answer, size));
}

Verdict<> res_querydomain(const char* name, const char* domain, int klass, int type, unsigned char* answer,
                          int size) {
    if (name == nullptr || domain == nullptr) return res_query(name, klass, type, answer, size);
    const auto joined = std::string(name) + "." + domain;
    return res_query(joined.c_str(), klass, type, answer, size);
}

Verdict<> res_send(const unsigned char* message, int message_size, unsigned char* answer, int size) {
    if (message == nullptr || message_size < 0 || answer == nullptr) return Verdict<>::pass();
    const auto question = policy::parse_dns_question({message, static_cast<std::size_t>(message_size)});
    if (!question) return Verdict<>::fail(EINVAL); // nothing that we could judge by the rules
    auto response = respond(question.value);
    if (response.pass) return Verdict<>::pass();
    if (response.ask) {
        const auto exchange = ask_resolver({message, static_cast<std::size_t>(message_size)});
        if (exchange.outcome == Outcome::answered)
            return Verdict<>::done(deliver(exchange.response, answer, size));
        if (exchange.outcome == Outcome::failed) return Verdict<>::fail(ETIMEDOUT);
    }
    const auto octets = encode_dns_response(question.value, response.code, response.answer);
    return octets.empty() ? Verdict<>::fail(EMSGSIZE) : Verdict<>::done(deliver(octets, answer, size));
}

QuestionOutcome judge_question(Bytes query) {
    using Kind = QuestionOutcome::Kind;
    const auto question = policy::parse_dns_question(query);
    if (!question) return {};
    const auto response = respond(question.value);
    if (response.pass) return {Kind::forward, {}};
    const bool asks = response.ask && sys::rules().config.resolver.has_value();
    const auto code = asks ? DnsCode::server_failure : response.code;
    auto message = encode_dns_response(question.value, code, response.answer);
    if (message.empty()) return {};
    return {asks ? Kind::ask : Kind::answered, std::move(message)};
}

} // namespace socksify::shim
