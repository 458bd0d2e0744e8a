// Which rules may match a query, without a look at the others: for rules by the thousand.
//
// Each rule lies under the constraint that tells most: its destinations; if it has none (or "*"), its ports,
// if they are few; else its programs, if they are spelt out; else it is always a candidate. A constraint
// becomes a hash, and all pairs of hash and rule are sorted, so that what lies under one hash is a run of
// rules in their order. A query asks for the hashes that it could lie under: its name and each domain above
// it, its address cut to each prefix length that there is, its port, its program; and the runs are merged.
// Whoever asks compares each candidate in full, so two constraints with one hash do no harm.
#pragma once

#include "policy/match.hpp"

#include <bitset>
#include <cstdint>
#include <vector>

namespace socksify::policy {

struct Rule;

class RuleIndex {
public:
    RuleIndex() = default;
    /// Throws std::bad_alloc.
    explicit RuleIndex(const std::vector<Rule>& rules);

    /// How many rules it was made of.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Calls `visit(number of the rule)` for the candidates, in the rules' order, until it returns true.
    /// Without a port, each rule that lies under one is a candidate. Allocates nothing.
    template <class Visit>
    void visit(const Target& target, std::optional<std::uint16_t> port, std::string_view program,
               Visit visit) const {
        Runs runs;
        collect(runs, target, port, program);
        for (const Entry* last = nullptr;;) {
            Run* first = nullptr;
            for (std::size_t i = 0; i < runs.size; ++i)
                if (runs.all[i].at != runs.all[i].end &&
                    (first == nullptr || runs.all[i].at->rule < first->at->rule))
                    first = &runs.all[i];
            if (first == nullptr) return;
            const auto* entry = first->at++;
            if (last != nullptr && last->rule == entry->rule) continue; // under two of its destinations
            last = entry;
            if (visit(entry->rule)) return;
        }
    }

private:
    struct Entry {
        std::uint64_t hash;
        std::uint32_t rule;
    };
    struct Run {
        const Entry* at;
        const Entry* end;
    };
    /// A name has at most 127 labels, and there are at most 129 prefix lengths.
    struct Runs {
        std::array<Run, 160> all;
        std::size_t size = 0;
    };

    void add(const Rule& rule, std::uint32_t number);
    void seal();
    void collect(Runs& runs, const Target& target, std::optional<std::uint16_t> port,
                 std::string_view program) const;
    void put_run(Runs& runs, std::uint64_t hash) const noexcept;

    std::size_t size_ = 0;
    std::vector<Entry> entries_;         ///< sorted
    std::vector<std::uint32_t> buckets_; ///< open addressing: 1 + where a run begins in entries_, or 0
    std::vector<Entry> with_port_;       ///< all that lie under a port, once each
    std::bitset<33> v4_prefixes_;
    std::bitset<129> v6_prefixes_;
    bool has_programs_ = false;
};

} // namespace socksify::policy
