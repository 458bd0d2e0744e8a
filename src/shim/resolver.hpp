// res_query and its kin: DNS by hand. What the pool can answer it answers; anything else about a name that is
// left to the proxy is "no data", so that programs fall back to the plain name. Nothing reaches the machine's
// resolver.
#pragma once

#include "shim/verdict.hpp"

#include <cstdint>
#include <string_view>

namespace socksify::shim {

/// One question by name and type. The result is the length of the answer, as if there were room for it, or -1
/// with h_errno.
Verdict<> res_query(const char* name, int klass, int type, unsigned char* answer, int size);
/// `name` and `domain` joined, as res_querydomain() does.
Verdict<> res_querydomain(const char* name, const char* domain, int klass, int type, unsigned char* answer,
                          int size);
/// A whole query message.
Verdict<> res_send(const unsigned char* message, int message_size, unsigned char* answer, int size);

} // namespace socksify::shim
