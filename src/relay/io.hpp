// Asio as this directory speaks it: everything runs on one io_context in one thread, and every operation is
// awaited with its error beside it. An executor with its type known spares each operation a virtual call.
#pragma once

#include "socksify/endpoint.hpp"

#include <asio/awaitable.hpp>
#include <asio/basic_datagram_socket.hpp>
#include <asio/basic_socket_acceptor.hpp>
#include <asio/basic_stream_socket.hpp>
#include <asio/basic_waitable_timer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/udp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>
#include <memory>

namespace socksify::relay {

using Executor = asio::io_context::executor_type;
using Tcp = asio::ip::tcp;
using Socket = asio::basic_stream_socket<Tcp, Executor>;
using Udp = asio::ip::udp;
using DatagramSocket = asio::basic_datagram_socket<Udp, Executor>;
using Acceptor = asio::basic_socket_acceptor<Tcp, Executor>;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
using ErrorCode = asio::error_code;

template <class Value = void>
using Task = asio::awaitable<Value, Executor>;

/// For an io_context whose sockets and timers are one thread's, as here; others only post to it.
inline constexpr int one_thread = ASIO_CONCURRENCY_HINT_UNSAFE_IO;

/// Completion token: `co_await` the operation, its error goes to `error`.
inline auto into(ErrorCode& error) { return asio::redirect_error(asio::use_awaitable_t<Executor>{}, error); }

/// An address only; a name is 0.0.0.0.
asio::ip::address to_asio(const Host& host);
Host from_asio(const asio::ip::address& address);
Tcp::endpoint to_asio(const Endpoint& endpoint);
Endpoint from_asio(const Tcp::endpoint& endpoint);
Endpoint from_asio(const Udp::endpoint& endpoint);

/// No waiting for more octets before some are sent. Connections inherit it from the socket that listens.
void send_at_once(int fd) noexcept;
/// A look now and then whether the other side is still there; 0: none. Inherited, too.
void look_after(int fd, std::chrono::seconds keepalive) noexcept;

} // namespace socksify::relay
