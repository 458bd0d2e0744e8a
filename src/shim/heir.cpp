#include "shim/heir.hpp"

#include "shim/agreement.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"

#include <sys/syscall.h>

namespace socksify::shim {
namespace {

/// A descriptor that is readable when the process has ended; -1 with errno, ESRCH if it is gone.
int open_process(pid_t process) noexcept {
    return sys::open_with_room([&] { return static_cast<int>(real::syscall(SYS_pidfd_open, process, 0)); });
}

class Heir final : public sys::worker::Task {
public:
    explicit Heir(std::shared_ptr<sys::Listener> listener) noexcept : listener_(std::move(listener)) {}

    sys::worker::Wait run() override {
        while (!listener_->is_closed()) {
            if (owner_ == 0 && !watch()) break;
            if (process_.get() >= 0 && sys::poll_now(process_.get(), POLLIN) == 0)
                return {.fd = process_.get(), .events = EPOLLIN};
            inherits_ = listener_->inherit(owner_);
            if (inherits_) break;
            owner_ = 0; // another one was faster
        }
        return {.over = true};
    }
    void finish() noexcept override {
        if (!inherits_) return;
        sys::log::line(sys::log::Level::info, "who had a listener has ended: this process goes on with it");
        try {
            std::unique_ptr<sys::worker::Task> agreement = Agreement::anew(listener_);
            if (agreement) sys::worker::post(agreement);
            else sys::log::line(sys::log::Level::error, "a listener's proxy is not in the rules any more");
        } catch (const std::bad_alloc&) {
            abandon(ENOMEM);
        }
    }
    void abandon(int error) noexcept override {
        sys::log::line(sys::log::Level::error, "a listener takes no more peers: %s", strerrordesc_np(error));
    }
    [[nodiscard]] bool has_news() const noexcept override { return listener_->is_closed(); }

private:
    /// False if this kernel can't, or lets nobody. A number that was given to another process meanwhile is
    /// taken for the owner's.
    bool watch() noexcept {
        owner_ = listener_->owner();
        // It was this process, as another program.
        const int fd = owner_ == getpid() ? -1 : open_process(owner_);
        if (fd < 0 && owner_ != getpid() && errno != ESRCH) return false;
        process_.reset(fd < 0 ? -1 : sys::make_internal(fd));
        return true;
    }

    std::shared_ptr<sys::Listener> listener_;
    pid_t owner_ = 0; ///< that is watched
    sys::OwnDescriptor process_;
    bool inherits_ = false;
};

} // namespace

void stand_by(const std::shared_ptr<sys::Listener>& listener) noexcept {
    if (!listener->begins_to_stand_by()) return;
    const sys::KeepErrno keep;
    const sys::SignalsHeld held;
    static_cast<void>(sys::rules()); // as long as they are found: nginx writes its title over the environment
    try {
        std::unique_ptr<sys::worker::Task> heir = std::make_unique<Heir>(listener);
        sys::worker::post(heir);
    } catch (const std::bad_alloc&) {
        // Nobody inherits from here.
    }
}

} // namespace socksify::shim
