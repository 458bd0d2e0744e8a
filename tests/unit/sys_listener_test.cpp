// A listener that goes on in the next program: what that is told is believed only as far as it is true.
#include "sys/listener.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

using namespace socksify;
using namespace socksify::sys;

namespace {

const Address local = *to_address({Host::ipv4({192, 0, 2, 1}), 80}, AF_INET);

/// As they are in the next program: its own numbers of the same descriptions.
Listener::Descriptors inherited(const Listener::Descriptors& from) {
    return {dup(from.memory), dup(from.in), dup(from.out)};
}

} // namespace

TEST_CASE("a listener that is handed over has the queue and the knocks of the one before") {
    const auto listener = Listener::make(local, "terms");
    REQUIRE(listener);
    const auto descriptors = listener->hand_over();
    CHECK(fcntl(descriptors.in, F_GETFD) == 0);
    const auto next = Listener::adopt(inherited(descriptors), local, "terms");
    REQUIRE(next);
    CHECK(next->owner() == getpid());
    CHECK(next->terms() == "terms");
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    REQUIRE(listener->put(pair[0], local));
    const auto arrival = next->take();
    CHECK(arrival.fd >= 0);
    CHECK(listener->take().fd < 0);
    for (const int fd : {pair[0], pair[1], arrival.fd}) close(fd);
}

TEST_CASE("a program that was made a listener's owner by exec takes over from itself, and once") {
    const auto listener = Listener::make(local, "terms");
    REQUIRE(listener);
    CHECK_FALSE(listener->begins_to_stand_by()); // who has made it has the agreement
    const auto next = Listener::adopt(inherited(listener->hand_over()), local, "terms");
    REQUIRE(next);
    CHECK(next->begins_to_stand_by());
    CHECK_FALSE(next->begins_to_stand_by());
}

TEST_CASE("who has handed a listener over does not end it with its own last number") {
    const auto listener = Listener::make(local, "terms");
    REQUIRE(listener);
    static_cast<void>(listener->hand_over());
    listener->close();
    CHECK_FALSE(listener->is_closed());
    const auto own = Listener::make(local, "terms");
    REQUIRE(own);
    own->close();
    CHECK(own->is_closed());
}

TEST_CASE("descriptors that are not a listener's any more are left alone") {
    const auto listener = Listener::make(local, "terms"), other = Listener::make(local, "terms");
    REQUIRE(listener);
    REQUIRE(other);
    const auto [memory, in, out] = listener->hand_over();
    const auto of_other = other->hand_over();
    const int unsealed = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const int short_one = memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    REQUIRE(ftruncate(unsealed, 1 << 16) == 0);
    REQUIRE(fcntl(short_one, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
    const Listener::Descriptors wrong[] = {
        {-1, -1, -1},         {memory, out, in},          {memory, in, in},
        {in, in, out},        {of_other.memory, in, out}, {unsealed, in, out},
        {short_one, in, out}, {memory, of_other.in, out}, {memory, -1, 1 << 30}};
    for (const auto& descriptors : wrong) CHECK_FALSE(Listener::adopt(descriptors, local, "terms"));
    for (const int fd : {memory, in, out, unsealed, short_one}) CHECK(fcntl(fd, F_GETFD) >= 0);
    close(unsealed);
    close(short_one);
}
