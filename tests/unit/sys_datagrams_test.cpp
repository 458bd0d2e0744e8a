// What is known of datagram sockets, under many threads at once. `scripts/test tsan` sees the races.
#include "sys/datagram.hpp"
#include "sys/fd_table.hpp"
#include "sys/internal_fds.hpp"

#include "support/threads.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <fcntl.h>
#include <mutex>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

using namespace socksify;
using namespace socksify::sys;

using socksify::test::on_threads;

namespace {

constexpr std::size_t threads = 16;

Endpoint endpoint(std::size_t number) {
    return {Host::ipv4({192, 0, 2, static_cast<std::uint8_t>(number)}), 7};
}
Address address(std::size_t number) { return to_address(endpoint(number), AF_INET).value(); }

std::unique_ptr<const Way> way_to(std::size_t number) {
    auto way = std::make_unique<Way>();
    way->to = address(number);
    way->destination = endpoint(number);
    way->header = encode(DatagramHeader{0, endpoint(number)});
    return way;
}

std::shared_ptr<Control> some_control() {
    return std::make_shared<Control>(make_internal(open("/dev/null", O_RDONLY | O_CLOEXEC)));
}

/// One thread's use of a socket that all have. What it finds must be what somebody put there.
std::size_t use(int fd, std::size_t turn) {
    const auto datagram = find_datagram(fd);
    if (!datagram) return 1;
    std::size_t wrong = datagram->domain == AF_INET && datagram->cookie == cookie_of(fd) ? 0 : 1;
    const auto number = turn % 100;
    const auto* way = datagram->find_way(address(number));
    if (way == nullptr) {
        auto made = way_to(number);
        way = datagram->add_way(made);
    }
    wrong += way->destination == endpoint(number) ? 0 : 1;
    const Bytes header = way->header;
    datagram->add_source(header, way->to);
    if (const auto* source = datagram->find_source(header); source != nullptr)
        wrong += source->shown == way->to ? 0 : 1;
    if (turn % 7 == 0) {
        const std::lock_guard lock(datagram->mutex);
        if (datagram->association.load() != nullptr) datagram->end_association();
        else {
            auto association = std::make_unique<Association>();
            association->relay = address(200);
            datagram->set_association(std::move(association), some_control());
        }
    }
    if (turn % 50 == 0) datagram->forget_sources();
    if (const auto* association = datagram->association.load(); association != nullptr)
        wrong += association->relay == address(200) ? 0 : 1;
    return wrong;
}

} // namespace

TEST_CASE("sixteen threads that use one datagram socket find what was put there, and lose nothing") {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    make_datagram(fd, AF_INET);
    std::atomic<std::size_t> wrong{0};
    on_threads(threads, [&](std::size_t thread) {
        for (std::size_t i = 0; i < 1000; ++i) wrong += use(fd, thread * 31 + i);
    });
    CHECK(wrong == 0);
    forget_datagram(fd);
    CHECK_FALSE(find_datagram(fd));
    close(fd);
}

TEST_CASE("a datagram socket whose numbers come and go is whole, or not there, for whoever looks") {
    std::atomic<bool> over{false};
    std::atomic<std::size_t> wrong{0}, found{0};
    std::atomic<int> current{-1};
    const auto live = [&](std::size_t turns) {
        for (std::size_t i = 0; i < turns; ++i) {
            const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
            make_datagram(fd, AF_INET);
            const int other = dup(fd);
            copy_datagram(fd, other);
            current.store(other);
            wrong += use(other, i);
            forget_datagram(fd);
            close(fd);
            wrong += find_datagram(other) ? 0 : 1;
            forget_datagram(other);
            close(other);
        }
    };
    std::vector<std::thread> looking;
    for (std::size_t i = 0; i < 4; ++i)
        looking.emplace_back([&] {
            while (!over.load()) {
                const auto datagram = find_datagram(current.load());
                if (!datagram) continue;
                ++found;
                if (datagram->domain != AF_INET) ++wrong;
                if (const auto* way = datagram->find_way(address(0)))
                    wrong += way->destination == endpoint(0) ? 0 : 1;
            }
        });
    on_threads(4, [&](std::size_t) {
        do live(500);
        while (found == 0); // who looks may not have had a processor yet
    });
    over.store(true);
    for (auto& thread : looking) thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("the end of a socket ends its control connection, unless somebody watches it") {
    for (const bool is_watched : {false, true}) {
        const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const auto control = some_control();
        const int number = control->fd.load();
        {
            const auto datagram = make_datagram(fd, AF_INET);
            const std::lock_guard lock(datagram->mutex);
            datagram->set_association(std::make_unique<Association>(), control);
            control->is_watched.store(is_watched);
        }
        forget_datagram(fd);
        close(fd);
        CHECK(control->is_unwanted.load());
        CHECK((fcntl(number, F_GETFD) >= 0) == is_watched);
    }
}
