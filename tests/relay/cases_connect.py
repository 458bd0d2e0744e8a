"""CONNECT: addresses, names, and what is told when there is no connection."""

import socket
import time

from harness import Relay, Server, echo, free_port, needs_ipv6, octets, request, silent_server, wait_until


def check_echo(client):
    client.send(b"hello")
    client.expect(b"hello")


def test_an_ipv4_address():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        client.connect("127.0.0.1", server.port)
        check_echo(client)


def test_an_ipv6_address():
    needs_ipv6()
    with Server(echo, "::1") as server, Relay() as relay, relay.greeted() as client:
        client.connect("::1", server.port)
        check_echo(client)


def test_a_name_from_the_hosts_table():
    with Server(echo) as server, Relay({"hosts": {"web.test": "127.0.0.1"}}) as relay:
        for name in ("web.test", "WEB.Test", "web.test."):
            with relay.greeted() as client:
                client.connect(name, server.port)
                check_echo(client)


def test_a_name_from_the_resolver():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        client.connect("localhost", server.port)
        check_echo(client)


def test_an_address_that_comes_as_a_name():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        client.send(octets("05 01 00 03 09") + b"127.0.0.1" + server.port.to_bytes(2, "big"))
        assert client.read_reply()[0] == 0
        check_echo(client)


def test_a_mapped_address_is_an_ipv4_address():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        bound = client.connect("::ffff:127.0.0.1", server.port)
        assert bound[0] == "127.0.0.1"
        check_echo(client)


def test_bnd_is_what_the_destination_sees():
    for host in ("127.0.0.1", "::1"):
        if host == "::1":
            needs_ipv6()
        with Server(echo, host) as server, Relay() as relay, relay.greeted() as client:
            bound = client.connect(host, server.port)
            wait_until(lambda: server.peers, "the destination has accepted")
            assert [peer[:2] for peer in server.peers] == [bound], (server.peers, bound)


def test_a_refused_connection():
    with Relay() as relay, relay.greeted() as client:
        client.send(request("127.0.0.1", free_port()))
        client.expect_refusal(5)


def test_no_route():
    with Relay() as relay, relay.greeted() as client:
        client.send(request("255.255.255.255", 80))  # the kernel has none for TCP
        client.expect_refusal(3)


def test_a_name_that_does_not_exist():
    with Relay() as relay, relay.greeted() as client:
        client.send(request("nonexistent.invalid", 80))
        client.expect_refusal(4)


def test_a_destination_that_does_not_answer():
    with silent_server() as port, Relay({"timeouts": {"connect": 0.5}}) as relay, relay.greeted() as client:
        begun = time.monotonic()
        client.send(request("127.0.0.1", port))
        client.expect_refusal(4)
        assert 0.4 < time.monotonic() - begun


def test_unspecified_destinations_are_refused():
    with Relay() as relay:
        for host in ("0.0.0.0", "::", "::ffff:0.0.0.0"):
            with relay.greeted() as client:
                client.send(request(host, relay.port))
                client.expect_refusal(2)
        with relay.greeted() as client:  # an empty name
            client.send(octets("05 01 00 03 00 0050"))
            client.expect_refusal(2)


def test_a_name_that_resolves_to_the_unspecified_address_is_refused():
    with Relay({"hosts": {"zero.test": ["0.0.0.0", "::"]}}) as relay, relay.greeted() as client:
        client.send(request("zero.test", relay.port))
        client.expect_refusal(2)


def test_unknown_commands_are_refused():
    with Relay() as relay:
        for command in (0x02, 0x04, 0x05, 0xF0, 0x00, 0xFF):
            with relay.greeted() as client:
                client.send(request("127.0.0.1", 80, command))
                client.expect_refusal(7)


def test_unknown_address_types_are_refused():
    with Relay() as relay:
        for kind in ("00", "02", "05", "ff"):
            with relay.greeted() as client:
                client.send(octets(f"05 01 00 {kind} 01020304 0050"))
                client.expect_refusal(8)


def test_address_types_that_are_switched_off_are_refused():
    for feature, host in (("names", "localhost"), ("ipv4", "127.0.0.1"), ("ipv6", "::1"), ("ipv4", "::ffff:127.0.0.1")):
        with Relay({"features": {feature: False}}) as relay, relay.greeted() as client:
            client.send(request(host, 80))
            client.expect_refusal(8)


def test_a_family_that_is_switched_off_is_not_used_for_names_either():
    needs_ipv6()
    hosts = {"hosts": {"both.test": ["127.0.0.1", "::1"], "six.test": "::1"}}
    with Server(echo) as server, Relay({**hosts, "features": {"ipv6": False}}) as relay:
        with relay.greeted() as client:
            assert client.connect("both.test", server.port)[0] == "127.0.0.1"
        with relay.greeted() as client:
            client.send(request("six.test", server.port))
            client.expect_refusal(4)
    with Relay({"features": {"ipv4": False}}) as relay, relay.greeted() as client:
        client.send(request("ip4only.invalid", 80))
        client.expect_refusal(4)


def test_ipv6_goes_first():
    needs_ipv6()
    with Server(echo, "::1") as six, Server(echo, "127.0.0.1", six.port):
        with Relay({"hosts": {"both.test": ["127.0.0.1", "::1"]}}) as relay, relay.greeted() as client:
            assert client.connect("both.test", six.port)[0] == "::1"


def test_when_ipv6_refuses_ipv4_goes_on_at_once():
    needs_ipv6()
    with Server(echo) as server, Relay({"hosts": {"both.test": ["127.0.0.1", "::1"]}}) as relay:
        with relay.greeted() as client:
            begun = time.monotonic()
            assert client.connect("both.test", server.port)[0] == "127.0.0.1"
            assert time.monotonic() - begun < 0.2


def test_when_ipv6_is_silent_ipv4_starts_after_a_quarter_of_a_second():
    needs_ipv6()
    with Server(echo) as server, silent_server("::1", server.port):
        with Relay({"hosts": {"both.test": ["127.0.0.1", "::1"]}}) as relay, relay.greeted() as client:
            begun = time.monotonic()
            assert client.connect("both.test", server.port)[0] == "127.0.0.1"
            elapsed = time.monotonic() - begun
            assert 0.2 < elapsed < 3, elapsed


def test_of_several_failures_the_most_telling_is_told():
    hosts = {"hosts": {"mixed.test": ["255.255.255.255", "127.0.0.1", "255.255.255.255"]}}
    with Relay(hosts) as relay, relay.greeted() as client:
        client.send(request("mixed.test", free_port()))
        client.expect_refusal(5)


def test_many_addresses_of_which_the_last_works():
    with Server(echo) as server:
        hosts = {"hosts": {"many.test": [f"127.0.0.{i}" for i in range(2, 20)] + ["127.0.0.1"]}}
        with Relay(hosts) as relay, relay.greeted() as client:
            client.connect("many.test", server.port)
            check_echo(client)


def test_a_refusal_is_delivered_though_the_client_has_more_to_say():
    """A close with unread octets would be a reset, and a reset may overtake the reply."""
    with Relay() as relay:
        for _ in range(20):
            with relay.greeted() as client:
                client.send(request("127.0.0.1", 80, 0x77) + b"x" * 100_000)
                assert client.read_reply()[0] == 7
                client.expect_end()


def test_after_a_refusal_the_relay_does_not_wait_for_ever():
    with Relay({"timeouts": {"close": 0.3}}) as relay, relay.greeted() as client:
        before = relay.descriptors()
        client.send(request("127.0.0.1", 80, 0x77))
        assert client.read_reply()[0] == 7
        client.expect_end()
        begun = time.monotonic()
        while relay.descriptors() >= before and time.monotonic() - begun < 5:
            time.sleep(0.02)  # this client never closes
        assert relay.descriptors() < before


def test_bind_is_no_way_to_listen():
    with Relay() as relay, relay.greeted() as client:
        client.send(request("0.0.0.0", 0, 2))
        client.expect_refusal(7)


def test_both_sides_have_no_delay():
    """Small messages to and fro: with Nagle's algorithm against delayed acknowledgements each would take 40 ms."""

    def answer(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            first = connection.recv(1)
            if not first or not connection.recv(1):
                return
            connection.sendall(b"a")
            connection.sendall(b"b")

    with Server(answer) as server, Relay() as relay, relay.greeted() as client:
        client.connect("127.0.0.1", server.port)
        begun = time.monotonic()
        for _ in range(50):
            client.send(b"1")
            client.send(b"2")
            client.expect(b"ab")
        assert time.monotonic() - begun < 1
