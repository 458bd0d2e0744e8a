// What is going on, so that the relay knows when it can end.
#pragma once

#include <functional>
#include <unordered_set>
#include <utility>

namespace socksify::relay {

/// A session or a tunnel.
class Ongoing {
public:
    Ongoing() = default;
    Ongoing(const Ongoing&) = delete;
    Ongoing& operator=(const Ongoing&) = delete;
    virtual ~Ongoing() = default;

    /// No more than what is under way: a connection that only waits for its next command ends.
    virtual void wind_down() {}
    virtual void close() = 0;
};

/// All that must end before the relay can.
class OngoingSet {
public:
    void add(Ongoing& one) { all_.insert(&one); }
    void remove(Ongoing& one) {
        all_.erase(&one);
        if (!all_.empty()) return;
        if (const auto call = std::exchange(when_empty, nullptr)) call();
    }
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    void wind_down() {
        each([](Ongoing& one) { one.wind_down(); });
    }
    void close() {
        each([](Ongoing& one) { one.close(); });
    }

    std::function<void()> when_empty; ///< called once

private:
    /// A visitor may make its object go, but not another one: objects go when their coroutines have been
    /// resumed.
    template <class Visit>
    void each(Visit visit) {
        const auto all = all_;
        for (auto* one : all) visit(*one);
    }

    std::unordered_set<Ongoing*> all_;
};

} // namespace socksify::relay
