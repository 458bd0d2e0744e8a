#include "relay/flow.hpp"

#include <cerrno>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

using namespace socksify;
using namespace socksify::relay;
using Next = Flow::Next;

namespace {

struct Pair {
    Pair() {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        near = Fd(ends[0]);
        far = Fd(ends[1]);
    }
    Fd near; ///< the program's or the server's
    Fd far;  ///< the flow's
};

std::vector<std::uint8_t> pattern(std::size_t size) {
    std::vector<std::uint8_t> out(size);
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i * 7 % 251);
    return out;
}

/// Sends what the kernel takes; how much that was.
std::size_t put(const Fd& fd, Bytes octets) {
    std::size_t sent = 0;
    while (sent < octets.size()) {
        const auto size = ::send(fd.get(), octets.data() + sent, octets.size() - sent, MSG_NOSIGNAL);
        if (size <= 0) break;
        sent += static_cast<std::size_t>(size);
    }
    return sent;
}

/// All that is there.
std::vector<std::uint8_t> take(const Fd& fd, std::size_t most = SIZE_MAX) {
    std::vector<std::uint8_t> out;
    std::uint8_t buffer[4096];
    while (out.size() < most) {
        const auto size = ::recv(fd.get(), buffer, std::min(sizeof buffer, most - out.size()), 0);
        if (size <= 0) break;
        out.insert(out.end(), buffer, buffer + size);
    }
    return out;
}

} // namespace

TEST_CASE("what goes in comes out, and then the source is waited for") {
    Depot depot;
    Flow flow(depot);
    Pair source;
    Pair sink;
    CHECK(flow.move(source.far.get(), sink.far.get()) == Next::readable);
    const auto octets = pattern(1000);
    REQUIRE(put(source.near, octets) == octets.size());
    CHECK(flow.move(source.far.get(), sink.far.get()) == Next::readable);
    CHECK(take(sink.near) == octets);
    CHECK(flow.octets() == 1000);
}

TEST_CASE("octets that were put there before go first") {
    Depot depot;
    Flow flow(depot);
    Pair source;
    Pair sink;
    flow.put(as_bytes("early "));
    put(source.near, as_bytes("late"));
    CHECK(flow.move(source.far.get(), sink.far.get()) == Next::readable);
    const auto found = take(sink.near);
    CHECK(as_text(found) == "early late");
}

TEST_CASE("an end of file comes after all octets, and only then") {
    Depot depot;
    Flow flow(depot);
    Pair source;
    Pair sink;
    put(source.near, as_bytes("last words"));
    source.near.reset();
    auto next = flow.move(source.far.get(), sink.far.get());
    while (next == Next::readable) next = flow.move(source.far.get(), sink.far.get());
    CHECK(next == Next::ended);
    CHECK(as_text(take(sink.near)) == "last words");
}

TEST_CASE(
    "a sink that takes no more is waited for, and nothing is lost, whichever way the octets are carried") {
    Depot depot;
    Flow flow(depot);
    Pair source;
    Pair sink;
    const auto octets = pattern(8 * 1024 * 1024);
    std::vector<std::uint8_t> found;
    std::size_t sent = 0;
    unsigned waits_for_sink = 0;
    for (int round = 0; found.size() < octets.size() && round < 1'000'000; ++round) {
        sent += put(source.near, Bytes(octets).subspan(sent));
        const auto next = flow.move(source.far.get(), sink.far.get());
        REQUIRE((next == Next::readable || next == Next::writable));
        if (next == Next::writable) {
            ++waits_for_sink;
            const auto piece = take(sink.near, 10'000 + static_cast<std::size_t>(round) % 7'777);
            found.insert(found.end(), piece.begin(), piece.end());
        } else if (sent == octets.size()) {
            const auto piece = take(sink.near);
            found.insert(found.end(), piece.begin(), piece.end());
        }
    }
    CHECK(found == octets);
    CHECK(flow.octets() == octets.size());
    CHECK(waits_for_sink > 0);
}

TEST_CASE("a sink that is closed is told as such") {
    Depot depot;
    Flow flow(depot);
    Pair source;
    Pair sink;
    sink.near.reset();
    put(source.near, as_bytes("x"));
    CHECK(flow.move(source.far.get(), sink.far.get()) == Next::unwritable);
}

TEST_CASE("a pipe that is given back is empty") {
    Depot depot;
    const auto octets = pattern(1024 * 1024);
    {
        // This flow ends while octets lie in its pipe.
        Flow flow(depot);
        Pair source;
        Pair sink;
        std::size_t sent = 0;
        for (int i = 0; i < 50; ++i) {
            sent += put(source.near, Bytes(octets).subspan(sent));
            if (flow.move(source.far.get(), sink.far.get()) == Next::writable) (void)take(sink.near, 50'000);
        }
    }
    auto pipe = depot.borrow();
    REQUIRE(pipe);
    char octet = 0;
    CHECK(::read(pipe.read.get(), &octet, 1) == -1);
    CHECK(errno == EAGAIN);
}
