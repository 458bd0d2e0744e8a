"""BIND, LISTEN and ACCEPT: peers that come to a port of the relay's."""

import contextlib
import select
import socket
import struct
import time
from signal import SIGTERM

from harness import (
    LIST_FEATURES, PATIENCE, Client, Relay, free_port, needs_ipv6, octets, packed, request, reset, wait_until, with_users,
)  # fmt: skip

ZEROS = "0.0.0.0"
BIND, LISTEN, ACCEPT = 2, 0xA1, 0xA2
THIS_PORT = 1
LOOPBACK = {"inbound": {"address": ["127.0.0.1", "::1"]}}


def listening_relay(config=None, **features):
    return Relay({"features": {"bind": True, "listen": True, **features}, **LOOPBACK, **(config or {})})


def peer_at(address, source=None):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    peer = socket.socket(family, socket.SOCK_STREAM)
    peer.settimeout(PATIENCE)
    if source:
        peer.bind((source, 0))
    peer.connect(address)
    return peer


def bind(client, host=ZEROS, port=0):
    """A BIND that must succeed: where to come to."""
    client.send(request(host, port, BIND))
    code, _, bound = client.read_reply()
    assert code == 0, f"REP {code:02x}"
    return bound


def exchange(client, peer):
    peer.sendall(b"from the peer")
    client.expect(b"from the peer")
    client.send(b"from the client")
    got = b""
    while len(got) < 15:
        got += peer.recv(15 - len(got))
    assert got == b"from the client", got


def is_refused(address):
    try:
        with peer_at(address) as peer:
            return peer.recv(1) == b""
    except ConnectionError:
        return True


class Listener(Client):
    """A LISTEN, and its notes."""

    def __init__(self, relay, host=ZEROS, port=0, flag=0, login=None, source=None):
        super().__init__(relay.port, source=source)
        self.relay, self.login, self.source = relay, login, source
        self.enter(self)
        self.send(request(host, port, LISTEN, flag))
        self.reply, self.granted, self.bound = self.read_reply()
        assert self.reply != 0 or self.bound[1] != 0

    def enter(self, client):
        if self.login:
            assert client.log_in(*self.login)
        else:
            client.greet()

    def note(self):
        """TYPE, ID, and what follows it."""
        kind, size = struct.unpack("!BH", self.read(3))
        body = self.read(size - 3)
        return kind, body[:4], body[4:]

    def expect_peer(self, peer):
        """The ID of this peer, whose note is the next."""
        kind, number, address = self.note()
        assert kind == 1 and number != bytes(4), (kind, number)
        assert address == packed(*peer.getsockname()[:2]), address.hex(" ")
        return number

    def set_backlog(self, count):
        self.send(struct.pack("!BHI", 3, 7, count))

    def ask_for(self, number):
        client = Client(self.relay.port, source=self.source)
        self.enter(client)
        client.send(bytes([5, ACCEPT, 0, 1]) + number + bytes(2))
        return client

    def accept(self, number, peer):
        client = self.ask_for(number)
        assert client.read_reply() == (0, 0, peer.getsockname()[:2])
        return client


# --- BIND -------------------------------------------------------------------------------------------------------------


def test_bind_is_answered_twice_and_joins_the_peer():
    with listening_relay() as relay, relay.greeted() as client:
        bound = bind(client)
        assert bound[0] == "127.0.0.1" and bound[1] >= 1024
        assert client.is_silent()
        with peer_at(bound) as peer:
            assert client.read_reply() == (0, 0, peer.getsockname())
            exchange(client, peer)
            peer.close()
            client.expect_end()


def test_bind_over_ipv6():
    needs_ipv6()
    with listening_relay() as relay, relay.greeted() as client:
        bound = bind(client, "::")
        assert bound[0] == "::1"
        with peer_at(bound) as peer:
            assert client.read_reply() == (0, 0, peer.getsockname()[:2])
            exchange(client, peer)


def test_a_port_that_is_asked_for_is_listened_on():
    with listening_relay() as relay, contextlib.ExitStack() as stack:
        port = free_port()
        for _ in range(3):  # again at once, while the connections before are not over
            client = stack.enter_context(relay.greeted())
            assert bind(client, ZEROS, port)[1] == port
            peer = stack.enter_context(peer_at(("127.0.0.1", port)))
            assert client.read_reply()[0] == 0
            exchange(client, peer)


def test_a_port_in_use_is_said_so_to_whoever_may_know():
    for list_features, code in ((True, 0xA0), (False, 1)):
        with listening_relay(list_features=list_features) as relay, relay.greeted() as one, relay.greeted() as two:
            port = bind(one)[1]
            two.send(request(ZEROS, port, BIND))
            two.expect_refusal(code)


def test_a_port_that_is_not_permitted():
    for list_features, code in ((True, 0xA1), (False, 2)):
        with listening_relay(list_features=list_features) as relay, relay.greeted() as client:
            client.send(request(ZEROS, 80, BIND))
            client.expect_refusal(code)


def test_ports_are_those_of_the_configuration():
    port = free_port()
    with listening_relay({"inbound": {"address": "127.0.0.1", "ports": port}}) as relay:
        with relay.greeted() as client, relay.greeted() as other:
            assert bind(client)[1] == port
            other.send(request(ZEROS, 0, BIND))  # and there is no more
            other.expect_refusal(1)


def test_only_the_peer_that_was_named_may_come():
    with listening_relay() as relay, relay.greeted() as client:
        bound = bind(client, "127.0.0.2")
        for _ in range(3):
            assert is_refused(bound)
        assert client.is_silent()
        with peer_at(bound, "127.0.0.2") as peer:
            assert client.read_reply()[2] == peer.getsockname()
            exchange(client, peer)


def test_the_peer_may_be_a_name():
    hosts = {"ftp.test": ["127.0.0.3", "127.0.0.2"]}
    with listening_relay({"hosts": hosts}) as relay, relay.greeted() as client:
        bound = bind(client, "ftp.test")
        assert is_refused(bound)
        with peer_at(bound, "127.0.0.2") as peer:
            assert client.read_reply()[2] == peer.getsockname()


def test_a_name_without_an_address_has_no_peer():
    with listening_relay() as relay, relay.greeted() as client:
        client.send(request("nonexistent.invalid", 0, BIND))
        client.expect_refusal(4)


def test_what_the_peer_sends_early_is_not_lost():
    with listening_relay() as relay, relay.greeted() as client:
        with peer_at(bind(client)) as peer:
            peer.sendall(b"220 hello\r\n" * 1000)
            peer.shutdown(socket.SHUT_WR)
            assert client.read_reply()[2] == peer.getsockname()
            assert client.read_all() == b"220 hello\r\n" * 1000
            client.send(b"bye")
            client.finish()
            assert peer.recv(10) == b"bye"


def test_what_the_client_sends_early_is_not_lost():
    with listening_relay() as relay, relay.greeted() as client:
        bound = bind(client)
        text = b"early " * 1000  # more than the relay keeps itself
        client.send(text)
        time.sleep(0.05)
        with peer_at(bound) as peer:
            client.read_reply()
            client.finish()
            got = b""
            while piece := peer.recv(65536):
                got += piece
            assert got == text


def test_a_client_that_leaves_closes_its_port():
    with listening_relay() as relay:
        for leave in (lambda c: c.close(), reset, lambda c: c.shutdown(socket.SHUT_WR)):
            before = relay.descriptors()
            client = relay.greeted()
            bound = bind(client)
            leave(client.socket)
            wait_until(lambda: relay.descriptors() <= before, "all descriptors are closed")
            assert is_refused(bound)
            client.socket.close()


def test_a_client_that_says_much_and_leaves_closes_its_port():
    with listening_relay() as relay:
        before = relay.descriptors()
        client = relay.greeted()
        bound = bind(client)
        client.send(b"early " * 1000)
        client.socket.close()
        wait_until(lambda: relay.descriptors() <= before, "all descriptors are closed")
        assert is_refused(bound)


def test_after_its_peer_has_come_the_port_is_closed():
    with listening_relay() as relay, relay.greeted() as client:
        bound = bind(client)
        with peer_at(bound):
            client.read_reply()
            assert is_refused(bound)


def test_a_peer_that_does_not_come():
    with listening_relay({"timeouts": {"bind": 0.3, "handshake": 0.2}}) as relay, relay.greeted() as client:
        bound = bind(client)
        begun = time.monotonic()
        client.expect_refusal(6)
        assert time.monotonic() - begun > 0.2
        assert is_refused(bound)


def test_a_bind_outlives_the_other_times():
    short = {"handshake": 0.2, "held": 0.2, "idle": 0.2, "connect": 0.2, "close": 0.2, "bind": 0}
    with listening_relay({"timeouts": short}) as relay, relay.greeted() as client:
        bound = bind(client)
        time.sleep(0.6)
        with peer_at(bound) as peer:
            assert client.read_reply()[0] == 0
            exchange(client, peer)


def test_many_binds_leave_nothing_behind():
    with listening_relay() as relay:
        before = relay.descriptors()
        port = free_port()
        for _ in range(200):
            with relay.greeted() as client:
                bind(client, ZEROS, port)
                with peer_at(("127.0.0.1", port)):
                    assert client.read_reply()[0] == 0
            wait_until(lambda: is_refused(("127.0.0.1", port)), "the port is closed")
        wait_until(lambda: relay.descriptors() <= before, "all descriptors are closed")


# --- LISTEN -----------------------------------------------------------------------------------------------------------


def test_a_listener_takes_many_peers_in_any_order():
    with listening_relay() as relay, Listener(relay) as listener, contextlib.ExitStack() as stack:
        peers = []
        for _ in range(50):
            peer = stack.enter_context(peer_at(listener.bound))
            peers.append((listener.expect_peer(peer), peer))
        assert len({number for number, _ in peers}) == 50
        for number, peer in reversed(peers):
            exchange(stack.enter_context(listener.accept(number, peer)), peer)


def test_a_listener_over_ipv6_takes_both_families():
    needs_ipv6()
    with Relay({"features": {"listen": True}}) as relay, Listener(relay, "::") as listener:
        for host in ("::1", "127.0.0.1"):
            with peer_at((host, listener.bound[1])) as peer:
                exchange(listener.accept(listener.expect_peer(peer), peer), peer)


def test_a_listener_over_ipv4_takes_that_alone():
    needs_ipv6()
    with Relay({"features": {"listen": True}}) as relay, Listener(relay) as listener:
        assert is_refused(("::1", listener.bound[1]))


def test_the_client_is_told_when_a_peer_waits_and_not_before():
    with listening_relay() as relay, Listener(relay) as listener:
        assert listener.is_silent()
        with peer_at(listener.bound) as peer:
            assert select.select([listener.socket], [], [], PATIENCE)[0]
            listener.accept(listener.expect_peer(peer), peer)
            assert listener.is_silent()


def test_a_peer_that_speaks_and_ends_before_it_is_accepted():
    with listening_relay() as relay, Listener(relay) as listener, peer_at(listener.bound) as peer:
        peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        number = listener.expect_peer(peer)
        assert listener.is_silent()  # it has not gone
        with listener.accept(number, peer) as client:
            assert client.read_all() == b"GET / HTTP/1.0\r\n\r\n"


def test_a_peer_that_has_gone_is_told_and_can_not_be_accepted():
    with listening_relay() as relay, Listener(relay) as listener:
        peer = peer_at(listener.bound)
        number = listener.expect_peer(peer)
        reset(peer)
        assert listener.note() == (2, number, b"")
        with listener.ask_for(number) as client:
            client.expect_refusal(0xA2)
        with peer_at(listener.bound) as peer:
            exchange(listener.accept(listener.expect_peer(peer), peer), peer)


def test_urgent_data_is_no_end():
    with listening_relay() as relay, Listener(relay) as listener, peer_at(listener.bound) as peer:
        number = listener.expect_peer(peer)
        peer.send(b"!", socket.MSG_OOB)
        peer.sendall(b"hello")
        assert listener.is_silent()
        with listener.accept(number, peer) as client:
            client.expect(b"hello")


def test_a_peer_is_accepted_once():
    with listening_relay() as relay, Listener(relay) as listener, peer_at(listener.bound) as peer:
        number = listener.expect_peer(peer)
        with listener.accept(number, peer) as client:
            with listener.ask_for(number) as again:
                again.expect_refusal(0xA2)
            exchange(client, peer)


def test_ids_that_are_none():
    with listening_relay() as relay, Listener(relay) as listener, peer_at(listener.bound) as peer:
        number = listener.expect_peer(peer)
        for wrong in (bytes(4), b"\xff\xff\xff\xff", bytes(reversed(number))):
            if wrong != number:
                with listener.ask_for(wrong) as client:
                    client.expect_refusal(0xA2)
        for target in ("::1", "name.test"):
            with relay.greeted() as client:
                client.send(request(target, 0, ACCEPT))
                client.expect_refusal(8)
        exchange(listener.accept(number, peer), peer)


def test_others_can_not_accept():
    users = with_users(alice="secret", bob="secret")
    with listening_relay(users) as relay, Listener(relay, login=("alice", "secret")) as listener:
        with peer_at(listener.bound) as peer:
            number = listener.expect_peer(peer)
            for login, source in ((("bob", "secret"), None), (("alice", "secret"), "127.0.0.2")):
                with Client(relay.port, source=source) as other:
                    assert other.log_in(*login)
                    other.send(bytes([5, ACCEPT, 0, 1]) + number + bytes(2))
                    other.expect_refusal(0xA2)
            exchange(listener.accept(number, peer), peer)


def test_the_listener_ends_with_its_connection_and_what_was_accepted_lives_on():
    with listening_relay() as relay:
        before = relay.descriptors()
        listener = Listener(relay)
        with peer_at(listener.bound) as peer, peer_at(listener.bound) as waiting:
            client = listener.accept(listener.expect_peer(peer), peer)
            number = listener.expect_peer(waiting)
            listener.socket.close()
            wait_until(lambda: is_refused(listener.bound), "the port is closed")
            with contextlib.suppress(ConnectionResetError):
                assert waiting.recv(1) == b""
            with listener.ask_for(number) as late:
                late.expect_refusal(0xA2)
            exchange(client, peer)
            client.socket.close()
        wait_until(lambda: relay.descriptors() <= before, "all descriptors are closed")
        relay.wait_for_log("event=closed", "peers=2")


def test_a_given_port_or_none():
    with listening_relay() as relay:
        port = free_port()
        with Listener(relay, port=port, flag=THIS_PORT) as listener:
            assert (listener.reply, listener.granted, listener.bound[1]) == (0, THIS_PORT, port)
            with Listener(relay, port=port, flag=THIS_PORT) as other:
                assert other.reply == 0xA0
            with Listener(relay, port=port) as other:
                assert (other.reply, other.granted) == (0, 0) and other.bound[1] != port
            with Listener(relay, port=80, flag=THIS_PORT) as other:
                assert other.reply == 0xA1
            with Listener(relay, port=80) as other:
                assert other.reply == 0 and other.bound[1] != 80
        wait_until(lambda: is_refused(("127.0.0.1", port)), "the port is closed")
        with Listener(relay, port=port, flag=THIS_PORT) as again, peer_at(again.bound) as peer:
            again.expect_peer(peer)


def test_an_unknown_flag_is_not_granted():
    with listening_relay() as relay, Listener(relay, flag=0xFE) as listener:
        assert (listener.reply, listener.granted) == (0, 0)


def test_an_address_to_listen_on_is_the_relays_to_choose():
    with listening_relay() as relay:
        for host, reply in (("127.0.0.1", 0), ("127.0.0.2", 2), ("192.0.2.1", 2), ("name.test", 8)):
            with Listener(relay, host) as listener:
                assert listener.reply == reply, (host, listener.reply)


def test_the_backlog_is_clamped_and_more_peers_wait_in_the_kernel():
    with listening_relay({"limits": {"backlog": 3}}) as relay, contextlib.ExitStack() as stack:
        listener = stack.enter_context(Listener(relay))
        for wanted, most in ((0, 1), (2, 2), (1_000_000, 3)):
            listener.set_backlog(wanted)
            time.sleep(0.05)
            peers = [stack.enter_context(peer_at(listener.bound)) for _ in range(4)]
            for first in range(0, 4, most):
                count = min(most, 4 - first)
                numbers = [listener.expect_peer(peers[first + i]) for i in range(count)]
                assert listener.is_silent(0.05)
                for i, number in enumerate(numbers):
                    exchange(stack.enter_context(listener.accept(number, peers[first + i])), peers[first + i])


def test_notes_that_are_none():
    for bad in ("01 00 00", "03 00 06 00 00 00", "03 ff ff 00 00 00 01", "ff 02 01"):
        with listening_relay() as relay, Listener(relay) as listener:
            listener.send(octets(bad))
            with contextlib.suppress(ConnectionResetError):
                listener.expect_end()
            assert is_refused(listener.bound)


def test_notes_that_nobody_knows_are_skipped():
    with listening_relay() as relay, Listener(relay) as listener:
        listener.send_slowly(octets("7f 00 03  7f 00 05 01 02  01 00 0e 01 02 03 04 01 7f 00 00 01 00 50  02 00 07 01 02 03 04"))
        listener.set_backlog(5)
        with peer_at(listener.bound) as peer:
            exchange(listener.accept(listener.expect_peer(peer), peer), peer)


def test_a_flood_of_peers_that_go_at_once_stops_nobody():
    with listening_relay() as relay, Listener(relay) as listener, relay.greeted() as other:
        # More than the client lets the relay say: it does not read its notes.
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        for _ in range(500):
            with contextlib.suppress(OSError):
                reset(peer_at(listener.bound))
        bound = bind(other)
        with peer_at(bound) as peer:
            assert other.read_reply()[0] == 0
            exchange(other, peer)
        assert relay.descriptors() < 200
        with peer_at(listener.bound) as peer:
            while True:
                kind, number, address = listener.note()
                if kind == 1 and address == packed(*peer.getsockname()):
                    break
            exchange(listener.accept(number, peer), peer)


def test_many_peers_one_after_the_other():
    with listening_relay() as relay, Listener(relay) as listener:
        before = relay.descriptors()
        for _ in range(300):
            with peer_at(listener.bound) as peer, listener.accept(listener.expect_peer(peer), peer) as client:
                peer.sendall(b"x")
                client.expect(b"x")
        wait_until(lambda: relay.descriptors() <= before, "all descriptors are closed")


# --- rules, switches and limits ---------------------------------------------------------------------------------------


def test_switched_off_they_are_unknown_commands():
    with Relay() as relay:
        for command in (BIND, LISTEN, ACCEPT):
            with relay.greeted() as client:
                client.send(request(ZEROS, 0, command))
                client.expect_refusal(7)
        with relay.greeted() as client:
            client.send(LIST_FEATURES)
            client.read(10)
            entries = client.read_list()
            assert [entry[1] for entry in entries if entry[0] == 4] == [1, 3, 0x10]


def test_switched_on_they_are_announced():
    with listening_relay() as relay, relay.greeted() as client:
        client.send(LIST_FEATURES)
        client.read(10)
        entries = client.read_list()
        for entry in ((4, 2, b"\1\2"), (4, LISTEN, b"\1"), (4, ACCEPT, b"\1"), (0x80, 0, b"socksify")):
            assert entry in entries, entry


def test_rules_say_who_may_come_to_which_port():
    port = free_port()
    rules = [
        {"operation": "bind", "destination": "127.0.0.2", "port": port, "action": "allow"},
        {"operation": "bind", "action": "deny"},
    ]
    with listening_relay({"rules": rules}) as relay:
        for command in (BIND, LISTEN):
            with relay.greeted() as client:
                client.send(request(ZEROS, port + 1, command, THIS_PORT if command == LISTEN else 0))
                client.expect_refusal(0xA1)
        with relay.greeted() as client:
            assert bind(client)[1] == port  # the only one that it may have
            assert is_refused(("127.0.0.1", port))
            with peer_at(("127.0.0.1", port), "127.0.0.2") as peer:
                assert client.read_reply()[2] == peer.getsockname()
        with Listener(relay) as listener:
            assert listener.bound[1] == port
            assert is_refused(listener.bound)
            with peer_at(listener.bound, "127.0.0.2") as peer:
                exchange(listener.accept(listener.expect_peer(peer), peer), peer)


def test_rules_give_each_user_ports():
    port = free_port()
    rules = [
        {"operation": "bind", "user": "alice", "port": port, "action": "allow"},
        {"operation": "bind", "action": "deny"},
    ]
    with listening_relay({**with_users(alice="secret", bob="secret"), "rules": rules}) as relay:
        with Listener(relay, login=("alice", "secret")) as listener:
            assert listener.bound[1] == port
        with Listener(relay, login=("bob", "secret")) as listener:
            assert listener.reply == 0xA1
        with relay.client() as client:
            assert client.log_in("bob", "secret")
            client.send(request(ZEROS, 0, BIND))
            client.expect_refusal(2)


def test_listeners_of_one_client():
    with listening_relay({"limits": {"listeners": 2}}) as relay, contextlib.ExitStack() as stack:
        first = stack.enter_context(Listener(relay, source="127.0.0.2"))
        second = stack.enter_context(Client(relay.port, source="127.0.0.2"))
        second.greet()
        bind(second)
        with Listener(relay, source="127.0.0.2") as third:
            assert third.reply == 0xA4
        with Client(relay.port, source="127.0.0.2") as third:
            third.greet()
            third.send(request(ZEROS, 0, BIND))
            third.expect_refusal(1)
        stack.enter_context(Listener(relay, source="127.0.0.3"))
        first.socket.close()
        wait_until(lambda: Listener(relay, source="127.0.0.2").reply == 0, "room for one more")


def test_listeners_of_one_user_are_counted_wherever_it_comes_from():
    alice, bob = ("alice", "secret"), ("bob", "secret")
    config = {**with_users(alice="secret", bob="secret"), "limits": {"listeners": 2}}
    with listening_relay(config) as relay, contextlib.ExitStack() as stack:
        first = stack.enter_context(Listener(relay, login=alice, source="127.0.0.2"))
        stack.enter_context(Listener(relay, login=alice, source="127.0.0.3"))
        with Listener(relay, login=alice, source="127.0.0.4") as third:
            assert third.reply == 0xA4
        assert stack.enter_context(Listener(relay, login=bob, source="127.0.0.2")).reply == 0
        first.socket.close()
        wait_until(lambda: Listener(relay, login=alice).reply == 0, "room for one more")


def test_peers_that_wait_count_as_connections():
    with listening_relay({"limits": {"per_client": 3}}) as relay, Listener(relay) as listener:
        peers = [peer_at(listener.bound) for _ in range(3)]
        numbers = [listener.expect_peer(peer) for peer in peers[:2]]
        assert listener.is_silent()
        reset(peers[0])
        assert listener.note() == (2, numbers[0], b"")
        listener.expect_peer(peers[2])
        for peer in peers[1:]:
            peer.close()


def test_advertised_addresses_are_told():
    needs_ipv6()
    config = {"inbound": {"advertise": ["203.0.113.1", "2001:db8::1"]}}
    with listening_relay(config) as relay:
        for family, host, real in ((ZEROS, "203.0.113.1", "127.0.0.1"), ("::", "2001:db8::1", "::1")):
            with relay.greeted() as client:
                bound = bind(client, family)
                assert bound[0] == host
                with peer_at((real, bound[1])):
                    assert client.read_reply()[0] == 0


def test_towards_a_peer_the_address_on_the_way_to_it_is_told():
    with listening_relay({"inbound": {}}) as relay, relay.greeted() as client:
        assert bind(client, "127.0.0.2")[0] == "127.0.0.1"


def test_families_that_are_switched_off():
    for config, features, host in (
        ({"inbound": {"address": "127.0.0.1"}}, {}, "::"),
        ({}, {"ipv6": False}, "::"),
        ({}, {"ipv4": False}, ZEROS),
    ):
        with listening_relay(config, **features) as relay:
            for command in (BIND, LISTEN):
                with relay.greeted() as client:
                    client.send(request(host, 0, command))
                    client.expect_refusal(8)


def test_without_a_password_there_is_no_listener():
    with listening_relay(with_users(alice="secret")) as relay, relay.client() as client:
        client.expect_no_way_without_password()


# --- the end ----------------------------------------------------------------------------------------------------------


def test_sigterm_ends_listeners_and_leaves_what_was_accepted():
    with listening_relay() as relay, Listener(relay) as listener, relay.greeted() as other:
        bind(other)
        with peer_at(listener.bound) as peer:
            client = listener.accept(listener.expect_peer(peer), peer)
            relay.signal(SIGTERM)
            listener.expect_end()
            other.expect_end()
            exchange(client, peer)
            assert relay.process.poll() is None
            client.socket.close()
            peer.close()
            assert relay.process.wait(20) == 0


def test_a_relay_that_ends_listens_no_more():
    with listening_relay() as relay, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(relay.greeted()) for _ in range(2)]
        relay.signal(SIGTERM)
        relay.wait_for_log("event=draining")
        for client, command in zip(clients, (BIND, LISTEN)):
            client.send(request(ZEROS, 0, command))
            client.expect_refusal(1)


def test_waiting_costs_nothing():
    with listening_relay() as relay, Listener(relay) as listener, relay.greeted() as other:
        bind(other)
        with peer_at(listener.bound) as peer:
            listener.expect_peer(peer)
            peer.sendall(b"hello")
            before = relay.processor_time()
            time.sleep(0.5)
            assert relay.processor_time() - before < 0.1
