#include "relay/users.hpp"

#include "relay/password.hpp"

#include <functional>
#include <thread>

namespace socksify::relay {
namespace {

/// Half of the processors hash at most, so that guessing passwords doesn't stop the tunnels.
std::size_t hashing_threads() { return std::max(1U, std::thread::hardware_concurrency() / 2); }

/// For a user who doesn't exist: the hash of one who does, always the same, so that time tells nothing even
/// when the users' hashes are of several methods.
const std::string& hash_to_fail_with(const std::map<std::string, std::string>& users,
                                     const std::string& username) {
    const auto nth = std::hash<std::string>{}(username) % users.size();
    return std::next(users.begin(), static_cast<std::ptrdiff_t>(nth))->second;
}

} // namespace

Users::Users(asio::io_context& io) : pool_(io, hashing_threads()) {}

Users::Proven::~Proven() { wipe(password); }

bool Users::is_proven(const std::string& username, std::string_view password, const std::string& hash) {
    const auto known = proven_.find(username);
    if (known == proven_.end()) return false;
    if (known->second->hash != hash || known->second->until <= Clock::now()) {
        proven_.erase(known);
        return false;
    }
    return equal_in_constant_time(password, known->second->password);
}

void Users::remember(const std::string& username, const std::string& password, const std::string& hash,
                     std::chrono::seconds lifetime) {
    if (lifetime.count() == 0) return;
    auto proven = std::make_unique<Proven>();
    proven->password = password;
    proven->hash = hash;
    proven->until = Clock::now() + lifetime;
    proven_.insert_or_assign(username, std::move(proven));
}

Task<bool> Users::check(std::shared_ptr<const Config> config, std::string username, std::string password,
                        Clock::time_point deadline) {
    const auto& users = config->auth.users;
    if (users.empty()) co_return false;
    const auto user = users.find(username);
    const bool exists = user != users.end();
    const auto hash = exists ? user->second : hash_to_fail_with(users, username);
    if (exists && is_proven(username, password, hash)) {
        wipe(password);
        co_return true;
    }

    // A variable, not a temporary: gcc 12 destroys a lambda that stands within a co_await twice.
    auto work = [password, hash] { return matches_hash(password, hash); };
    const auto matches = co_await pool_.run(std::move(work), deadline);
    const bool accepted = exists && matches.value_or(false);
    if (accepted) remember(username, password, hash, config->auth.remember);
    wipe(password);
    co_return accepted;
}

} // namespace socksify::relay
