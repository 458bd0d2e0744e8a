"""Limits and timeouts."""

import contextlib
import resource
import socket
import time

from harness import GREETING, Client, Relay, Server, echo, octets, request, wait_until


def closed_at_once(client):
    """Closed, or reset because the greeting was there already."""
    try:
        client.send(GREETING)
        return client.socket.recv(1) == b""
    except ConnectionError:
        return True


def test_a_silent_client_is_given_up():
    with Relay({"timeouts": {"handshake": 0.3}}) as relay, relay.client() as client:
        begun = time.monotonic()
        client.expect_end()
        assert 0.2 < time.monotonic() - begun < 5


def test_a_slow_client_is_given_up_at_any_stage():
    """The timeout is for the whole handshake: an octet now and then does not extend it."""
    with Relay({"timeouts": {"handshake": 0.5}}) as relay, relay.client() as client:
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for octet in GREETING + request("127.0.0.1", 80) * 9:
                client.send(bytes([octet]))
                time.sleep(0.05)
                if time.monotonic() - begun > 5:
                    break
        assert time.monotonic() - begun < 3
        assert relay.wait_for_log("event=refused", "too slow")


def test_connections_in_all():
    with Relay({"limits": {"connections": 3}}) as relay, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(relay.greeted()) for _ in range(3)]
        with relay.client() as client:
            assert closed_at_once(client)
        relay.wait_for_log("event=limit", "limits.connections")
        clients[0].socket.close()
        wait_until(lambda: greets(relay), "room for one more")


def greets(relay):
    with relay.client() as client:
        return not closed_at_once(client)


def test_connections_of_one_client():
    with Relay({"limits": {"per_client": 2}}) as relay, contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(relay.greeted(source="127.0.0.2"))
        with relay.client(source="127.0.0.2") as client:
            assert closed_at_once(client)
        relay.wait_for_log("event=limit", "limits.per_client")
        with relay.greeted(source="127.0.0.3"):
            pass


def test_a_tunnel_counts_as_a_connection():
    with Server(echo) as server, Relay({"limits": {"connections": 1}}) as relay:
        with relay.greeted() as client:
            client.connect("127.0.0.1", server.port)
            with relay.client() as other:
                assert closed_at_once(other)
        wait_until(lambda: greets(relay), "room for one more")


def test_handshakes_wait_for_their_turn():
    with Server(echo) as server, Relay({"limits": {"handshakes": 2}}) as relay, contextlib.ExitStack() as stack:
        first, _ = [stack.enter_context(relay.greeted()) for _ in range(2)]
        waiting = stack.enter_context(relay.client())
        waiting.send(GREETING)
        assert waiting.is_silent()
        first.connect("127.0.0.1", server.port)  # a tunnel is no handshake any more
        waiting.expect("05 00")


def test_a_held_connection_is_no_handshake():
    with Relay({"limits": {"handshakes": 1}}) as relay, relay.greeted() as held:
        held.send(octets("05 10 01 01 00000000 0000"))
        held.expect("05 00 01")
        with relay.greeted():
            pass


def test_without_descriptors_nothing_spins_and_nothing_is_lost():
    with Server(echo) as server, Relay() as relay, contextlib.ExitStack() as stack:
        before = relay.descriptors()
        resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (before + 4, before + 4))
        clients = [stack.enter_context(relay.client()) for _ in range(8)]
        for client in clients:
            client.send(GREETING)
        relay.wait_for_log("event=accept", "Too many open files")
        spent = relay.processor_time()
        time.sleep(0.5)
        assert relay.processor_time() - spent < 0.15
        answered = [client for client in clients if not client.is_silent(0)]
        assert len(answered) == 4, len(answered)
        # No descriptor for the connection to the destination either.
        answered[0].expect("05 00")
        answered[0].send(request("127.0.0.1", server.port))
        answered[0].expect_refusal(1)
        for client in answered:
            client.socket.close()
        for client in clients:
            if client not in answered:
                client.expect("05 00")
        assert sum("event=accept" in line for line in relay.log) == 1


def test_a_thousand_idle_connections_and_two_hundred_busy_ones():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        with Server(echo) as server, Relay() as relay:
            idle_and_busy(relay, server)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def idle_and_busy(relay, server):
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(1200):
            client = stack.enter_context(relay.client())
            client.send(GREETING + request("127.0.0.1", server.port))
            clients.append(client)
        for client in clients:
            client.expect("05 00")
            assert client.read_reply()[0] == 0
        busy = clients[:200]
        begun = time.monotonic()
        for i in range(10):
            for client in busy:
                client.send(octets(f"{i:02x}") * 1000)
            for client in busy:
                client.expect(octets(f"{i:02x}") * 1000)
        print(f"        2000 exchanges on 200 of 1200 tunnels in {time.monotonic() - begun:.2f} s", end="")
        with open(f"/proc/{relay.process.pid}/status", encoding="ascii") as status:
            memory = next(line.split()[1] for line in status if line.startswith("VmRSS:"))
        print(f", {int(memory) / 1024:.1f} MiB resident, {relay.descriptors()} descriptors")
        clients[-1].send(b"x")
        clients[-1].expect(b"x")


def test_a_flood_of_connections_that_say_nothing():
    with Relay({"limits": {"handshakes": 50, "connections": 60}, "timeouts": {"handshake": 0.5}}) as relay:
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                one = socket.socket()
                stack.callback(one.close)
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", relay.port))
            with Client(relay.port) as client:
                client.send(GREETING)
                client.expect("05 00")  # when its turn has come
