#include "sys/datagram.hpp"

#include "sys/fd_marks.hpp"
#include "sys/fd_table.hpp"
#include "sys/inherited_datagrams.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/sparse.hpp"
#include "sys/worker.hpp"

#include <algorithm>
#include <memory>
#include <mutex>

namespace socksify::sys {

namespace {

// By number. Apart from what is not zero at first: see fd_table.cpp.
SOCKSIFY_SPARSE(3) constinit std::array<Datagram*, FdMarks::capacity> slots{};

} // namespace

namespace {

constinit SlotTable<Datagram, slots> table{};

std::size_t bucket_of(const Address& address, std::size_t buckets) noexcept {
    const auto* octets = reinterpret_cast<const unsigned char*>(&address.storage);
    std::size_t sum = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(address.size, 28); ++i) sum = sum * 31 + octets[i];
    return sum % buckets;
}

} // namespace

void Datagram::renew_in_child() noexcept {
    mutex.renew_in_child();
    is_watched.store(false);
    if (control) control->is_watched.store(false);
    if (stage.load() != Stage::under_way) return;
    // It is the parent's alone: so are its connection, and the worker's number and count.
    stage.store(Stage::none);
    queue.clear();
    if (control) control->close();
    control.reset();
    const int its_number = carried.exchange(-1);
    close_internal(its_number);
    if (its_number >= 0) table.drop(this);
}

const Way* Datagram::find_way(const Address& to) const noexcept {
    for (const auto* way = ways_[bucket_of(to, buckets)].load(std::memory_order_acquire); way != nullptr;
         way = way->next)
        if (way->to == to) return way;
    return nullptr;
}

const Way* Datagram::add_way(std::unique_ptr<const Way>& way) noexcept {
    if (way_count_.fetch_add(1) >= most_ways) {
        way_count_.fetch_sub(1);
        return way.get();
    }
    auto& bucket = ways_[bucket_of(way->to, buckets)];
    auto* added = const_cast<Way*>(way.release()); // nobody else has seen it yet
    const auto* first = bucket.load();
    do added->next = first;
    while (!bucket.compare_exchange_weak(first, added));
    return added;
}

namespace {

/// By address and port, which are the last octets.
std::size_t bucket_of_header(Bytes header, std::size_t buckets) noexcept {
    const auto size = header.size();
    return size < 3 ? 0
                    : static_cast<std::size_t>(header[size - 1] * 5 + header[size - 2] + header[size - 3]) %
                          buckets;
}

} // namespace

const Source* Datagram::find_source(Bytes header) const noexcept {
    const auto* source = recent_sources_[bucket_of_header(header, buckets)].load(std::memory_order_acquire);
    return source != nullptr &&
                   std::equal(header.begin(), header.end(), source->header.begin(), source->header.end())
               ? source
               : nullptr;
}

void Datagram::add_source(Bytes header, const Address& shown) {
    const std::lock_guard lock(mutex);
    const auto known = std::find_if(sources_.begin(), sources_.end(), [&](const auto& source) {
        return source->shown == shown &&
               std::equal(header.begin(), header.end(), source->header.begin(), source->header.end());
    });
    const Source* source = nullptr;
    if (known != sources_.end()) source = known->get();
    else {
        if (sources_.size() == most_sources) return;
        sources_.push_back(std::make_unique<const Source>(Source{{header.begin(), header.end()}, shown}));
        source = sources_.back().get();
    }
    recent_sources_[bucket_of_header(header, buckets)].store(source, std::memory_order_release);
}

void Datagram::forget_sources() noexcept {
    for (auto& source : recent_sources_) source.store(nullptr);
}

void Control::close() noexcept { close_internal(fd.exchange(-1)); }

void Datagram::set_association(std::unique_ptr<const Association> made,
                               std::shared_ptr<Control> its_control) {
    associations_.push_back(std::move(made));
    control = std::move(its_control);
    association.store(associations_.back().get());
    stage.store(Stage::ready);
}

void Datagram::end_association() noexcept {
    association.store(nullptr);
    is_watched.store(false);
    stage.store(Stage::none);
    if (!control) return;
    control->is_unwanted.store(true);
    if (control->is_watched.load()) worker::wake();
    else control->close();
    control.reset();
}

void Datagram::empty() noexcept {
    const std::lock_guard lock(mutex); // the worker may have found it a moment before
    end_association();
    associations_.clear();
    inherited_upstreams.clear();
    for (auto& bucket : ways_)
        for (const auto* way = bucket.exchange(nullptr); way != nullptr;)
            delete std::exchange(way, way->next);
    way_count_.store(0);
    peer.store(nullptr);
    error.store(0);
    queue.clear();
    sources.clear();
    forget_sources();
    sources_.clear();
    number.store(-1);
    cookie = 0;
}

DatagramRef::~DatagramRef() {
    if (datagram_ != nullptr) table.drop(datagram_);
}

DatagramRef DatagramRef::share() const noexcept {
    if (datagram_ != nullptr) datagram_->share();
    return DatagramRef(datagram_);
}

DatagramRef find_datagram(int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::datagram)) return {};
    return DatagramRef(table.acquire(fd));
}

DatagramRef find_true_datagram(int fd) noexcept {
    auto found = find_datagram(fd);
    if (!found || found->cookie == cookie_of(fd)) return found;
    forget_datagram(fd);
    return {};
}

DatagramRef still_alive(Datagram* datagram) noexcept {
    datagram->share();
    DatagramRef counted(datagram);
    return datagram->is_alive() ? std::move(counted) : DatagramRef{};
}

int duplicate_of(const Datagram& datagram) noexcept {
    const auto duplicate = [&](int fd) {
        const int made = duplicate_internally(fd);
        if (made >= 0 && cookie_of(made) == datagram.cookie) return made;
        close_internal(made);
        return -1;
    };
    int made = -1;
    if (const int fd = datagram.number.load(); fd >= 0) made = duplicate(fd);
    fd_marks.for_each_shared([&](int fd) {
        if (made < 0) made = duplicate(fd);
    });
    return made;
}

void for_each_number(const Datagram& datagram, const std::function<void(int)>& visit) {
    const auto refers = [&](int fd) { return fd >= 0 && table.peek(fd) == &datagram; };
    const int first = datagram.number.load();
    if (refers(first)) visit(first);
    fd_marks.for_each_shared([&](int fd) {
        if (fd != first && refers(fd)) visit(fd);
    });
}

void for_each_datagram(const std::function<void(int, Datagram&)>& visit) {
    table.for_each_made([&](Datagram& one) {
        const auto datagram = still_alive(&one);
        if (datagram) for_each_number(*datagram, [&](int fd) { visit(fd, *datagram); });
    });
}

DatagramRef make_datagram(int fd, int domain) {
    if (auto known = find_datagram(fd)) return known;
    if (fd < 0 || fd >= FdMarks::capacity) throw std::bad_alloc(); // never seen: its hooks would not find it
    at_fork_in_child([] { table.for_each_made([](Datagram& datagram) { datagram.renew_in_child(); }); });
    DatagramRef made(&table.take());
    made->domain = domain;
    made->cookie = cookie_of(fd);
    made->number.store(fd);
    made->come_alive();
    if (!table.put_first(fd, *made)) return find_datagram(fd); // another thread was faster
    fd_marks.set(fd, FdMarks::datagram);
    if (!fd_marks.has(fd, FdMarks::shared)) return made;
    fd_marks.for_each_shared([&](int other) { // numbers that it got before there was anything to know
        if (other != fd && cookie_of(other) == made->cookie) copy_datagram(fd, other);
    });
    return made;
}

void forget_datagram(int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::datagram)) return;
    fd_marks.clear(fd, FdMarks::datagram);
    auto* one = table.remove(fd);
    if (one == nullptr) return;
    if (fd_marks.has(fd, FdMarks::shared)) { // those that are left may all be closed on exec
        const KeepErrno keep;
        const std::lock_guard lock(one->mutex);
        follow_close_on_exec(*one);
    }
    table.drop(one);
}

void copy_datagram(int from, int to) noexcept {
    auto one = find_datagram(from);
    if (!one || to < 0 || to >= FdMarks::capacity) return;
    table.put(to, &*one);
    fd_marks.set(to, FdMarks::datagram);
}

} // namespace socksify::sys
