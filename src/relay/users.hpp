// Who somebody is, by RFC 1929.
//
// A hash takes tens of milliseconds on purpose, so it is made on a thread of its own, and a password that was
// right is remembered for a while: clients authenticate anew on every connection. What is remembered is the
// password itself, in the memory of the process that has just received it in clear. A user that doesn't exist
// costs a hash too.
#pragma once

#include "relay/config.hpp"
#include "relay/pool.hpp"

#include <memory>

namespace socksify::relay {

class Users {
public:
    explicit Users(asio::io_context& io);

    /// False also if it isn't known at `deadline`.
    Task<bool> check(std::shared_ptr<const Config> config, std::string username, std::string password,
                     Clock::time_point deadline);
    [[nodiscard]] bool busy() const noexcept { return pool_.busy(); }

private:
    struct Proven {
        std::string password;
        std::string hash; ///< what it was right for
        Clock::time_point until;

        Proven() = default;
        Proven(const Proven&) = delete;
        Proven& operator=(const Proven&) = delete;
        ~Proven(); ///< wipes the password
    };
    [[nodiscard]] bool is_proven(const std::string& username, std::string_view password,
                                 const std::string& hash);
    void remember(const std::string& username, const std::string& password, const std::string& hash,
                  std::chrono::seconds lifetime);

    std::map<std::string, std::unique_ptr<Proven>> proven_; // at most one for each user of the configuration
    Pool pool_;
};

} // namespace socksify::relay
