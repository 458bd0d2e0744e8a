// What a record of the store says, as if a checksum that happens to be right had let it through; and a store
// that is full of anything.
#include "fuzz.hpp"

#include "policy/proxy_store.hpp"

#include <algorithm>

using namespace socksify;
using namespace socksify::fuzz;
using namespace socksify::policy;

namespace {

constexpr std::chrono::seconds now{1'800'000'000};
constexpr std::string_view key = "a:1";

void check(const Learnt& learnt) {
    expect(learnt.left.count() > 0 && learnt.left <= ProxyStore::longest_life);
    expect((learnt.known == Known::listed) == (learnt.features != nullptr));
    expect(learnt.known <= Known::listed && learnt.pipelining <= Pipelining::tolerated);
    if (!learnt.features) return;
    // What is taken for a list is one.
    FeatureReader reader;
    const auto octets = learnt.features->encode();
    const auto read = reader.feed(octets);
    expect(read.outcome == Outcome::complete && read.size == octets.size());
    expect(reader.take() == *learnt.features);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    ProxyStore::Record record{};
    std::copy_n(data, std::min(size, sizeof record), reinterpret_cast<std::uint8_t*>(record.data()));
    const auto parsed = ProxyStore::parse(record, key, now);
    if (parsed) check(*parsed);

    alignas(8) static std::array<std::byte, ProxyStore::octets_needed()> memory;
    memory = {};
    auto store = ProxyStore::format_or_open(memory);
    for (std::size_t at = ProxyStore::records_at; size > 0 && at < memory.size();
         at += ProxyStore::record_octets)
        std::copy_n(data, std::min(size, ProxyStore::record_octets),
                    reinterpret_cast<std::uint8_t*>(memory.data() + at));
    if (const auto found = store.find(key, now)) check(*found);
    // Whatever lies there, what is put is found again.
    if (!parsed) return 0;
    store.put(key, *parsed, now);
    const auto again = store.find(key, now);
    const bool is_something = parsed->known != Known::unknown || parsed->pipelining != Pipelining::unknown;
    expect(again.has_value() == is_something);
    if (again) expect(again->left == parsed->left && again->at.client == parsed->at.client);
    return 0;
}
