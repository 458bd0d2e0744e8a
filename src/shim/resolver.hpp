// res_query and its kin: DNS by hand. What the pool can answer it answers; anything else about a name that is
// left to the proxy is "no data", so that programs fall back to the plain name. Nothing reaches the machine's
// resolver.
#pragma once

#include "shim/verdict.hpp"
#include "socksify/bytes.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace socksify::shim {

/// One question by name and type. The result is the length of the answer, as if there were room for it, or -1
/// with h_errno.
Verdict<> res_query(const char* name, int klass, int type, unsigned char* answer, int size);
/// `name` and `domain` joined, as res_querydomain() does.
Verdict<> res_querydomain(const char* name, const char* domain, int klass, int type, unsigned char* answer,
                          int size);
/// A whole query message.
Verdict<> res_send(const unsigned char* message, int message_size, unsigned char* answer, int size);

/// What becomes of a question that a program sends to a name server by itself.
struct QuestionOutcome {
    enum class Kind : std::uint8_t {
        no_question, ///< something else, or a question in a form that nobody uses
        forward,     ///< about a name that the rules let go directly
        ask,         ///< the rules' resolver knows, maybe
        answered,    ///< with `response`
    } kind = Kind::no_question;
    std::vector<std::uint8_t>
        response; ///< a whole message; of `ask` what to say if the resolver can't be reached
};
QuestionOutcome judge_question(Bytes query);

} // namespace socksify::shim
