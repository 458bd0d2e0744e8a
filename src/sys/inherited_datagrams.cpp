#include "sys/inherited_datagrams.hpp"

#include "sys/fd_marks.hpp"
#include "sys/fd_table.hpp"
#include "sys/inherited_text.hpp"
#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <array>
#include <mutex>
#include <unistd.h>

namespace socksify::sys {
namespace {

using inherited::address, inherited::between_fields, inherited::between_records, inherited::is_inheritable,
    inherited::number, inherited::take, inherited::text_of;

constexpr char between_upstreams = '.';

/// Nothing is lost by leaving one out but the association.
bool can_be_written(const Way& way) { return inherited::can_be_written(way.destination.text()); }

std::string record_of(int fd, Datagram& datagram) {
    const std::lock_guard lock(datagram.mutex);
    const auto* association = datagram.association.load();
    const auto* peer = datagram.peer.load();
    const bool has_peer =
        peer != nullptr && !peer->is_direct && !peer->is_name_server && can_be_written(*peer);
    if (association == nullptr && !has_peer) return {};
    const int control = association != nullptr && datagram.control ? datagram.control->fd.load() : -1;
    std::string record = std::to_string(fd);
    const auto add = [&record](const std::string& field) { (record += between_fields) += field; };
    add(std::to_string(datagram.cookie));
    add(std::to_string(datagram.domain));
    add(std::to_string(control));
    add(std::to_string(control >= 0 ? cookie_of(control) : 0));
    add(control >= 0 ? text_of(association->relay) : "");
    add(has_peer ? text_of(peer->to) : "");
    add(has_peer ? peer->destination.text() : "");
    std::string upstreams;
    for (const auto upstream : association != nullptr ? association->upstreams : peer->upstreams)
        (upstreams += std::to_string(upstream)) += between_upstreams;
    add(upstreams);
    return record;
}

using Fields = std::array<std::string_view, 9>;

Fields fields_of(std::string_view record) {
    Fields fields;
    for (auto& field : fields) field = take(record, between_fields);
    return fields;
}

/// All numbers of one description must be known before the first of them is adopted.
void share(const Fields& fields) {
    const int fd = number<int>(fields[0]);
    const auto cookie = number<std::uint64_t>(fields[1]);
    if (cookie == 0) return;
    // posix_spawn() may have made others of it.
    for (const int one : {fd, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (cookie_of(one) == cookie) fd_marks.share(one);
}

/// One number of the program that this one was.
void adopt(const Fields& fields) {
    const int fd = number<int>(fields[0]), domain = number<int>(fields[2]), control = number<int>(fields[3]);
    const auto cookie = number<std::uint64_t>(fields[1]);
    if (cookie == 0 || cookie_of(fd) != cookie) return;
    const bool is_first = !find_datagram(fd);
    const auto datagram = make_datagram(fd, domain);
    if (!is_first) return;
    const std::lock_guard lock(datagram->mutex);
    auto& upstreams = datagram->inherited_upstreams;
    for (auto left = fields[8]; !left.empty();)
        upstreams.push_back(number<std::size_t>(take(left, between_upstreams)));
    if (const auto to = address(fields[6], domain)) {
        const auto destination = Endpoint::parse(fields[7]);
        if (!destination) return;
        auto way = std::make_unique<Way>();
        way->to = way->direct_to = *to;
        way->destination = *destination;
        way->upstreams = upstreams;
        way->header = encode(DatagramHeader{0, *destination});
        std::unique_ptr<const Way> made = std::move(way);
        datagram->peer.store(datagram->add_way(made));
    }
    const auto relay = address(fields[5], domain);
    if (!relay || control < 0 || cookie_of(control) != number<std::uint64_t>(fields[4])) return;
    auto association = std::make_unique<Association>();
    association->relay = *relay;
    association->upstreams = upstreams;
    auto kept = std::make_shared<Control>(control);
    fd_marks.set(control, FdMarks::internal);
    datagram->set_association(std::move(association), std::move(kept));
}

} // namespace

std::string inheritable_datagrams() {
    std::string out;
    for_each_datagram([&](int fd, Datagram& datagram) {
        if (!is_inheritable(fd) || cookie_of(fd) != datagram.cookie) return;
        const auto record = record_of(fd, datagram);
        if (!record.empty()) (out += record) += between_records;
    });
    return out.empty() ? out : std::string(inherited_datagrams_variable) + out;
}

void adopt_datagrams(std::string_view records) {
    for (auto left = records; !left.empty();) share(fields_of(take(left, between_records)));
    for (auto left = records; !left.empty();) adopt(fields_of(take(left, between_records)));
}

void follow_close_on_exec(Datagram& datagram) noexcept {
    if (!datagram.control) return;
    bool inherited = false;
    for_each_number(datagram, [&](int fd) { inherited = inherited || is_inheritable(fd); });
    real::fcntl(datagram.control->fd.load(), F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

void close_on_exec_changed(int fd) noexcept {
    const auto datagram = find_datagram(fd);
    if (!datagram) return;
    const KeepErrno keep;
    const std::lock_guard lock(datagram->mutex);
    follow_close_on_exec(*datagram);
}

} // namespace socksify::sys
