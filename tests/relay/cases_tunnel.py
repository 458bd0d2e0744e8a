"""What goes through: every octet once, each end of file and each reset as what it is."""

import contextlib
import hashlib
import os
import select
import socket
import threading
import time

from harness import Relay, Server, echo, free_port, octets, request, reset, wait_until

SEED = os.urandom(65521)


def stream(size):
    """Octets that repeat nowhere near the size of a buffer."""
    for at in range(0, size, len(SEED)):
        yield SEED[: min(len(SEED), size - at)]


def digest(pieces):
    state = hashlib.blake2b()
    for piece in pieces:
        state.update(piece)
    return state.hexdigest()


def pieces_from(connection):
    while piece := connection.recv(1 << 18):
        yield piece


@contextlib.contextmanager
def tunnel(serve, config=None):
    with Server(serve) as server, Relay(config) as relay, relay.greeted() as client:
        client.connect("127.0.0.1", server.port)
        yield relay, client


def test_a_large_download():
    size = 64 << 20

    def serve(connection):
        for piece in stream(size):
            connection.sendall(piece)

    with tunnel(serve) as (_, client):
        assert digest(pieces_from(client.socket)) == digest(stream(size))


def test_a_large_upload():
    size = 64 << 20
    found = []

    def serve(connection):
        found.append(digest(pieces_from(connection)))
        connection.sendall(b"ok")

    with tunnel(serve) as (_, client):
        for piece in stream(size):
            client.send(piece)
        client.finish()
        client.expect(b"ok")
        client.expect_end()
        assert found == [digest(stream(size))]


def test_both_directions_at_once_with_readers_that_pause():
    """The slow reader makes the relay keep octets, in its buffer and in its pipes."""
    size = 24 << 20

    def slowly(connection):
        for i, piece in enumerate(pieces_from(connection)):
            if i % 64 == 0:
                time.sleep(0.01)
            yield piece

    def serve(connection):
        found = []
        reader = threading.Thread(target=lambda: found.append(digest(slowly(connection))))
        reader.start()
        for piece in stream(size):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        reader.join()
        results.append(found[0])

    results = []
    with tunnel(serve) as (_, client):

        def send():
            for piece in stream(size):
                client.send(piece)
            client.finish()

        sender = threading.Thread(target=send)
        sender.start()
        assert digest(slowly(client.socket)) == digest(stream(size))
        sender.join()
        wait_until(lambda: results, "the server has read all")
        assert results == [digest(stream(size))]


def test_large_and_small_in_turn():
    """Streams and single octets alternate, so that the way they are carried changes to and fro."""
    with tunnel(echo) as (_, client):
        for size in (1, 1 << 20, 1, 3, 1 << 21, 2, 1 << 20) + (1,) * 20 + (1 << 20, 5):
            data = os.urandom(size)
            sender = threading.Thread(target=client.send, args=(data,))
            sender.start()
            assert client.read(size) == data
            sender.join()


def test_an_end_of_file_from_the_client_leaves_the_other_direction_open():
    def serve(connection):
        asked = b"".join(pieces_from(connection))
        time.sleep(0.2)
        connection.sendall(asked.upper())
        time.sleep(0.2)
        connection.sendall(b"!")

    with tunnel(serve) as (_, client):
        client.send(b"question")
        client.finish()
        client.expect(b"QUESTION!")
        client.expect_end()


def test_an_end_of_file_from_the_server_leaves_the_other_direction_open():
    found = []

    def serve(connection):
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        found.append(b"".join(pieces_from(connection)))

    with tunnel(serve) as (_, client):
        client.expect(b"bye")
        client.expect_end()
        time.sleep(0.2)
        client.send(b"still here")
        client.finish()
        wait_until(lambda: found, "the server has read all")
        assert found == [b"still here"]


def test_an_end_of_file_before_the_request_was_answered():
    def serve(connection):
        connection.sendall(b"".join(pieces_from(connection)).upper())

    with Server(serve) as server, Relay() as relay, relay.client() as client:
        client.send(octets("05 01 00") + request("127.0.0.1", server.port) + b"question")
        client.finish()
        client.expect("05 00")
        assert client.read_reply()[0] == 0
        client.expect(b"QUESTION")
        client.expect_end()


def is_reset(connection):
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


def test_a_reset_from_the_server_is_a_reset_for_the_client():
    def serve(connection):
        connection.recv(1)
        reset(connection)

    with tunnel(serve) as (_, client):
        client.send(b"x")
        assert is_reset(client.socket)


def test_a_reset_from_the_client_is_a_reset_for_the_server():
    found = []

    def serve(connection):
        connection.sendall(b"x")
        found.append(is_reset(connection))

    with tunnel(serve) as (_, client):
        client.expect(b"x")
        reset(client.socket)
        wait_until(lambda: found, "the server sees the end")
        assert found == [True]


def test_what_came_before_a_reset_arrives_before_it():
    size = 3 << 20

    def serve(connection):
        for piece in stream(size):
            connection.sendall(piece)
        # All of it has to be with the relay: a reset takes along what is still in this socket.
        time.sleep(0.3)
        reset(connection)

    with tunnel(serve) as (_, client):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := client.socket.recv(65536):
                received += len(piece)
                time.sleep(0.001)
            raise AssertionError("an end of file instead of the reset")
        # Linux drops nothing that the relay had acknowledged; only what never left the server may be missing.
        assert received > 0


def test_an_answer_to_an_upload_that_was_cut_short_arrives():
    """As an HTTP server says 413: it answers, closes, and resets because the rest of the upload is unread."""

    def serve(connection):
        connection.recv(1000)
        connection.sendall(b"413")

    with tunnel(serve) as (_, client):
        with contextlib.suppress(OSError):
            for _ in range(200):
                client.send(b"x" * 65536)
        client.expect(b"413")


def test_a_client_that_goes_away_takes_its_connection_along():
    ends = []

    def serve(connection):
        b"".join(pieces_from(connection))
        ends.append(True)

    with Server(serve) as server, Relay() as relay:
        with relay.greeted() as client:
            client.connect("127.0.0.1", server.port)
        wait_until(lambda: ends, "the server sees the end")
        wait_until(lambda: any("event=closed" in line for line in relay.log), "the tunnel is over")


def test_no_descriptor_is_lost():
    with Server(echo) as server, Relay() as relay:
        counts = []
        for round_number in range(8):
            for how in ("close", "reset", "refused", "stream"):
                with relay.greeted() as client:
                    if how == "refused":
                        client.send(request("127.0.0.1", free_port()))
                        client.expect_refusal(5)
                        continue
                    client.connect("127.0.0.1", server.port)
                    if how == "stream":
                        sender = threading.Thread(target=client.send, args=(b"x" * (4 << 20),))
                        sender.start()
                        client.read(4 << 20)
                        sender.join()
                    elif how == "reset":
                        reset(client.socket)
            wait_until(
                lambda n=round_number: sum("event=closed" in line for line in relay.log) == 3 * (n + 1), "all over"
            )
            time.sleep(0.05)
            counts.append(relay.descriptors())
        # A tunnel whose both ways were busy at once leaves two pipes for the next; one lost each round would be seven.
        assert counts[-1] <= counts[0] + 4, f"descriptors: {counts}"


def test_an_idle_tunnel_is_given_up():
    with tunnel(echo, {"timeouts": {"idle": 0.5}}) as (relay, client):
        for _ in range(4):  # it is not idle
            time.sleep(0.25)
            client.send(b"x")
            client.expect(b"x")
        client.expect_end()
        assert relay.wait_for_log("event=closed", "by=idle")


def test_a_tunnel_outlives_the_other_timeouts():
    config = {"timeouts": {"handshake": 0.3, "held": 0.3, "connect": 0.3, "close": 0.3, "idle": 0}}
    with tunnel(echo, config) as (_, client):
        time.sleep(0.8)
        client.send(b"x")
        client.expect(b"x")


def test_an_idle_tunnel_costs_no_time():
    with tunnel(echo) as (relay, client):
        before = relay.processor_time()
        assert client.is_silent(1)
        assert relay.processor_time() - before < 0.1


def test_octets_are_counted():
    with tunnel(lambda connection: connection.sendall(connection.recv(5) * 2)) as (relay, client):
        client.send(b"12345")
        client.expect(b"1234512345")
        client.expect_end()
        client.socket.close()
        assert relay.wait_for_log("event=closed", "up=5 down=10", "by=eof")


def test_many_tunnels_at_once():
    with Server(echo) as server, Relay() as relay, contextlib.ExitStack() as stack:
        clients = []
        for _ in range(200):
            client = stack.enter_context(relay.client())
            client.send(octets("05 01 00") + request("127.0.0.1", server.port))
            clients.append(client)
        for client in clients:
            client.expect("05 00")
            assert client.read_reply()[0] == 0
        for i, client in enumerate(clients):
            client.send(b"%d" % i)
        for i, client in enumerate(clients):
            client.expect(b"%d" % i)
        assert not select.select([client.socket for client in clients], [], [], 0)[0]
