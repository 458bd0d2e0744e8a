// How many connections to one proxy are worth holding ready in this process.
//
// A connection that the proxy holds for one more command (LIST-FEATURES with FLAG 01) saves the next
// connect() all round trips but one. It costs the proxy a connection that does nothing, so who connects once
// gets none, and who has stopped soon has none left.
//
//   connected()   the program has connected; how often it does so says what is wanted()
//   made()        one is ready; it waits for idle_time(), and comes to one of these ends:
//   used()        it has carried a connect()
//   unused()      nobody has come. The next one waits for one connect() more in a row, and so on
//   broken()      the proxy has ended it before its time: they wait for less long, and in the end there are
//                 none
//
// A value: time is an argument.
#pragma once

#include <chrono>

namespace socksify::policy {

class HoldPolicy {
public:
    using Time = std::chrono::steady_clock::time_point;
    using Duration = Time::duration;

    /// Connects further apart are not "in a row".
    static constexpr Duration often = std::chrono::seconds(10);
    /// Well below what a proxy waits for the next command (the relay's timeouts.held is a minute).
    static constexpr Duration longest_idle = std::chrono::seconds(20);
    /// One that ends sooner was never held, whatever the reply said.
    static constexpr Duration shortest_idle = std::chrono::seconds(1);
    static constexpr unsigned most_broken = 3; ///< in a row
    /// A proxy that is nearer is as fast without: what is saved is less than what it costs.
    static constexpr Duration near = std::chrono::milliseconds(1);

    /// The program's connect() has led through the proxy.
    void connected(Time now) noexcept;
    /// How many should be ready or in the making, but not more than `most`.
    [[nodiscard]] unsigned wanted(unsigned most) const noexcept;

    /// One has become ready, `took` after it was begun.
    void made(Duration took) noexcept { time_to_make_ = took; }
    void used() noexcept { unused_ = broken_ = 0; }
    void unused() noexcept;
    /// The proxy has ended it, at the latest `age` after it was made; or failed to make it.
    void broken(Duration age) noexcept;

    /// For how long a new one waits.
    [[nodiscard]] Duration idle_time() const noexcept { return idle_time_; }
    /// The proxy does not keep what it grants: none are wanted until it says anew that it does.
    [[nodiscard]] bool is_hopeless() const noexcept { return broken_ >= most_broken; }

private:
    Time last_connect_{};
    Duration interval_{};     // between connects, the mean of the last few
    Duration time_to_make_{}; // the last one's
    Duration idle_time_ = longest_idle;
    unsigned in_a_row_ = 0; // connects, each soon after the one before; the first does not count
    unsigned unused_ = 0;   // in a row
    unsigned broken_ = 0;   // in a row
};

} // namespace socksify::policy
