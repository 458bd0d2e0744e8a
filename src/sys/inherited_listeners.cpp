#include "sys/inherited_listeners.hpp"

#include "sys/fd_table.hpp"
#include "sys/inherited_text.hpp"
#include "sys/listener.hpp"

#include <array>

namespace socksify::sys {
namespace {

using inherited::between_fields, inherited::between_records, inherited::number, inherited::take;

bool listens(const Socket& socket) { return socket.state == Socket::State::listening; }

std::string record_of(int fd, const Socket& socket) {
    const auto& listener = *socket.listener->listener();
    if (!inherited::can_be_written(listener.terms())) return {};
    const auto [memory, in, out] = listener.hand_over();
    std::string record = std::to_string(fd);
    const auto add = [&record](const std::string& field) { (record += between_fields) += field; };
    add(std::to_string(socket.cookie));
    add(std::to_string(socket.domain));
    for (const int one : {memory, in, out}) add(std::to_string(one));
    add(std::to_string(listener.backlog()));
    add(inherited::text_of(listener.local()));
    add(inherited::text_of(socket.local));
    add(listener.terms());
    return record;
}

/// Of another number in this process, which has come first.
std::shared_ptr<const ListenerUse> known(const Listener::Descriptors& descriptors) {
    for (const auto& [fd, socket] : fds::all(listens))
        if (socket->listener->listener()->has(descriptors)) return socket->listener;
    return {};
}

/// One number of the program that this one was.
void adopt(std::string_view record) {
    std::array<std::string_view, 10> fields;
    for (auto& field : fields) field = take(record, between_fields);
    const int fd = number<int>(fields[0]), domain = number<int>(fields[2]);
    const auto cookie = number<std::uint64_t>(fields[1]);
    const auto local = inherited::address(fields[7], domain);
    if (cookie == 0 || cookie_of(fd) != cookie || !local) return;
    const Listener::Descriptors descriptors{number<int>(fields[3]), number<int>(fields[4]),
                                            number<int>(fields[5])};
    auto use = known(descriptors);
    if (!use) {
        auto listener = Listener::adopt(descriptors, *local, std::string(fields[9]));
        if (!listener || !listener->open_door(fd)) return;
        listener->set_backlog(number<int>(fields[6]));
        use = std::make_shared<const ListenerUse>(std::move(listener));
    }
    const SocketRef entry(Socket::State::listening, cookie, Address{}, domain);
    entry.unseen().listener = use;
    if (const auto bound = inherited::address(fields[8], domain)) entry.unseen().local = *bound;
    // posix_spawn() may have made others of it.
    for (const int one : {fd, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (cookie_of(one) == cookie) fds::put(one, entry);
}

} // namespace

std::string inheritable_listeners() {
    std::string out;
    for (const auto& [fd, socket] : fds::all(listens)) {
        if (!inherited::is_inheritable(fd) || cookie_of(fd) != socket->cookie) continue;
        const auto record = record_of(fd, *socket);
        if (!record.empty()) (out += record) += between_records;
    }
    return out.empty() ? out : std::string(inherited_listeners_variable) + out;
}

void adopt_listeners(std::string_view records) {
    while (!records.empty()) adopt(take(records, between_records));
}

} // namespace socksify::sys
