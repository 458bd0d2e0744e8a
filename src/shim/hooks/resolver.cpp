// DNS by hand. Each function has two names: the one of libresolv's days (__res_…), which older binaries
// import, and the one that glibc 2.34 gave it in libc. The _n forms take a resolver's state first, which we
// have no use for.
#include "shim/resolver.hpp"

#include "shim/hooks/hook.hpp"

#include <resolv.h>

#define RESOLVER_CALL(name, parameters, arguments, decide)                                                   \
    EXPORT int name parameters {                                                                             \
        return shim::settle([&] { return shim::decide; }, [&] { return real::name arguments; });             \
    }                                                                                                        \
    EXPORT int __##name parameters {                                                                         \
        return shim::settle([&] { return shim::decide; }, [&] { return real::name arguments; });             \
    }

RESOLVER_CALL(res_query, (const char* name, int klass, int type, unsigned char* answer, int size),
              (name, klass, type, answer, size), res_query(name, klass, type, answer, size))
RESOLVER_CALL(res_search, (const char* name, int klass, int type, unsigned char* answer, int size),
              (name, klass, type, answer, size), res_query(name, klass, type, answer, size))
RESOLVER_CALL(res_querydomain,
              (const char* name, const char* domain, int klass, int type, unsigned char* answer, int size),
              (name, domain, klass, type, answer, size),
              res_querydomain(name, domain, klass, type, answer, size))
RESOLVER_CALL(res_send, (const unsigned char* message, int count, unsigned char* answer, int size),
              (message, count, answer, size), res_send(message, count, answer, size))

RESOLVER_CALL(res_nquery,
              (res_state state, const char* name, int klass, int type, unsigned char* answer, int size),
              (state, name, klass, type, answer, size), res_query(name, klass, type, answer, size))
RESOLVER_CALL(res_nsearch,
              (res_state state, const char* name, int klass, int type, unsigned char* answer, int size),
              (state, name, klass, type, answer, size), res_query(name, klass, type, answer, size))
RESOLVER_CALL(res_nquerydomain,
              (res_state state, const char* name, const char* domain, int klass, int type,
               unsigned char* answer, int size),
              (state, name, domain, klass, type, answer, size),
              res_querydomain(name, domain, klass, type, answer, size))
RESOLVER_CALL(res_nsend,
              (res_state state, const unsigned char* message, int count, unsigned char* answer, int size),
              (state, message, count, answer, size), res_send(message, count, answer, size))
