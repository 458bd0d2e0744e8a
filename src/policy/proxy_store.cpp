#include "policy/proxy_store.hpp"

#include <algorithm>
#include <cstring>

namespace socksify::policy {
namespace {

/// Octets "SockPrx" and the version of the layout. Another layout, or other sizes, is another version.
constexpr std::uint64_t signature = 0x01'78'72'50'6b'63'6f'53;
constexpr std::size_t head_words = 5;
constexpr std::size_t head_octets = head_words * 8;

/// As octets in the record, from 16 on.
struct Head {
    std::uint16_t key_octets;
    std::uint16_t list_octets;
    std::uint8_t known;
    std::uint8_t pipelining;
    std::uint8_t method;
    std::uint8_t address_type; ///< ATYP of the client's address; 0: none
};
static_assert(sizeof(Head) == 8);

std::uint64_t mixed(std::uint64_t hash, std::uint64_t word) noexcept {
    hash = (hash ^ word) * 0xff51afd7ed558ccd;
    return hash ^ hash >> 32;
}

std::uint64_t hash_of(std::string_view key) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : key) hash = mixed(hash, static_cast<std::uint8_t>(c));
    return hash;
}

template <class Record>
Head head_of(const Record& record) noexcept {
    Head head{};
    std::memcpy(&head, &record[2], sizeof head);
    return head;
}

template <class Record>
bool fits(const Record& record) noexcept {
    const auto head = head_of(record);
    return head_octets + head.key_octets + head.list_octets <= record.size() * 8;
}

/// Of a record whose sizes fit. Its words are the only ones that count.
std::size_t used_words(const Head& head) noexcept {
    return (head_octets + std::size_t{head.key_octets} + head.list_octets + 7) / 8;
}

template <class Record>
const std::uint8_t* octets_of(const Record& record) noexcept {
    return reinterpret_cast<const std::uint8_t*>(record.data());
}

/// The list, if these octets are one.
std::optional<FeatureList> read_list(Bytes octets) {
    constexpr std::array<std::uint8_t, 3> end{0xff, 0, 0};
    FeatureReader reader;
    if (reader.feed(octets).outcome != Outcome::need_more) return {};
    const auto whole = reader.feed(end);
    // END that is another entry's value is no end.
    if (whole.outcome != Outcome::complete || whole.size != end.size()) return {};
    auto list = reader.take();
    if (list.octets().size() != octets.size()) return {};
    return list;
}

Host address_in(std::uint8_t type, const std::uint8_t* octets) noexcept {
    std::array<std::uint8_t, 4> v4{};
    std::array<std::uint8_t, 16> v6{};
    std::copy_n(octets, v4.size(), v4.begin());
    std::copy_n(octets, v6.size(), v6.begin());
    return type == static_cast<std::uint8_t>(AddressType::ipv6) ? Host::ipv6(v6) : Host::ipv4(v4);
}

} // namespace

ProxyStore ProxyStore::format_or_open(std::span<std::byte> memory) noexcept {
    const ProxyStore none(nullptr);
    if (memory.size() < octets_needed()) return none;
    if (reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(std::uint64_t) != 0) return none;
    const std::atomic_ref<std::uint64_t> first(*reinterpret_cast<std::uint64_t*>(memory.data()));
    auto found = first.load(std::memory_order_acquire);
    if (found == 0 && first.compare_exchange_strong(found, signature)) found = signature;
    return found == signature ? ProxyStore(memory.data()) : none;
}

std::uint64_t ProxyStore::checksum(const Record& record) noexcept {
    std::uint64_t sum = signature;
    for (std::size_t i = 1; i < used_words(head_of(record)); ++i) sum = mixed(sum, record[i]);
    return sum;
}

/// A whole record as it was at one time.
bool ProxyStore::read(std::size_t record, Record& into) const noexcept {
    for (std::size_t i = 0; i < head_words; ++i) into[i] = word(record, i).load(std::memory_order_relaxed);
    if (into[1] == 0 || !fits(into)) return false;
    const auto size = used_words(head_of(into));
    for (std::size_t i = head_words; i < size; ++i) into[i] = word(record, i).load(std::memory_order_relaxed);
    return into[0] == checksum(into);
}

bool ProxyStore::is_for(const Record& record, std::string_view key) noexcept {
    return as_text({octets_of(record) + head_octets, head_of(record).key_octets}) == key;
}

std::optional<Learnt> ProxyStore::parse(const Record& record, std::string_view key,
                                        std::chrono::seconds now) {
    if (!fits(record) || !is_for(record, key)) return {};
    const auto head = head_of(record);
    // Not `expires - now`, which may be anything.
    const auto expires = record[1];
    const auto seconds_now = static_cast<std::uint64_t>(now.count());
    if (expires <= seconds_now) return {};
    // More than it can ever have been given: the clock has been set back.
    if (expires - seconds_now > static_cast<std::uint64_t>(longest_life.count())) return {};
    if (head.known > static_cast<std::uint8_t>(Known::listed) ||
        head.pipelining > static_cast<std::uint8_t>(Pipelining::tolerated))
        return {};
    Learnt learnt;
    learnt.left = std::chrono::seconds(expires - seconds_now);
    learnt.known = static_cast<Known>(head.known);
    learnt.pipelining = static_cast<Pipelining>(head.pipelining);
    learnt.at.method = static_cast<Method>(head.method);
    if (head.address_type != 0) learnt.at.client = address_in(head.address_type, octets_of(record) + 24);
    if (learnt.known == Known::listed) {
        auto list = read_list({octets_of(record) + head_octets + head.key_octets, head.list_octets});
        if (!list) return {};
        learnt.features = std::make_shared<const FeatureList>(std::move(*list));
    }
    return learnt;
}

std::optional<Learnt> ProxyStore::find(std::string_view key, std::chrono::seconds now) const {
    if (!valid()) return {};
    const auto hash = hash_of(key);
    Record record;
    for (std::size_t way = 0; way < ways; ++way)
        if (read((hash + way) % records, record))
            if (auto learnt = parse(record, key, now)) return learnt;
    return {};
}

std::string store_key(const Upstream& upstream) {
    auto key =
        upstream.socket_path.empty() ? Endpoint{upstream.host, upstream.port}.text() : upstream.socket_path;
    return key.append(1, '\0').append(upstream.username);
}

void ProxyStore::put(std::string_view key, const Learnt& learnt, std::chrono::seconds now) noexcept {
    if (!valid()) return;
    const auto hash = hash_of(key);
    Record record{};
    const auto make_void = [&](std::size_t index) {
        word(index, 0).store(0, std::memory_order_relaxed);
        word(index, 1).store(0, std::memory_order_release);
    };
    std::optional<std::size_t> place;
    bool has_place = false; // and not only the best one so far
    std::uint64_t soonest = ~std::uint64_t{0};
    for (std::size_t way = 0; way < ways; ++way) {
        const auto index = (hash + way) % records;
        const bool whole = read(index, record);
        if (whole && is_for(record, key)) {
            // Two processes that wrote at the same time may have left two.
            if (has_place) make_void(index);
            else place = index;
            has_place = true;
        }
        if (has_place) continue;
        const auto expires = whole ? record[1] : 0;
        if (expires < soonest) {
            soonest = expires;
            place = index;
        }
    }

    const auto list = learnt.features ? learnt.features->octets() : Bytes{};
    const auto size = head_octets + key.size() + list.size();
    const bool is_something = learnt.known != Known::unknown || learnt.pipelining != Pipelining::unknown;
    // Void first: whoever is at the same record now makes it void as well.
    if (read(*place, record) && !is_for(record, key) && (!is_something || size > record_octets)) return;
    make_void(*place);
    if (!is_something || size > record_octets || learnt.left.count() <= 0) return;

    record = {};
    const auto expires = now + std::min(learnt.left, longest_life);
    record[1] = static_cast<std::uint64_t>(expires.count());
    const auto client = learnt.at.client;
    const Head head{static_cast<std::uint16_t>(key.size()),
                    static_cast<std::uint16_t>(list.size()),
                    static_cast<std::uint8_t>(learnt.known),
                    static_cast<std::uint8_t>(learnt.pipelining),
                    static_cast<std::uint8_t>(learnt.at.method),
                    client.is_name() ? std::uint8_t{0} : static_cast<std::uint8_t>(client.type())};
    std::memcpy(&record[2], &head, sizeof head);
    auto* const octets = reinterpret_cast<std::uint8_t*>(record.data());
    if (!client.is_name()) {
        const auto address = client.octets(); // up to the key
        std::copy(address.begin(), address.end(), octets + 24);
    }
    std::copy(key.begin(), key.end(), octets + head_octets);
    std::copy(list.begin(), list.end(), octets + head_octets + key.size());
    record[0] = checksum(record);
    for (std::size_t i = used_words(head); i-- > 0;)
        word(*place, i).store(record[i], std::memory_order_relaxed);
}

} // namespace socksify::policy
