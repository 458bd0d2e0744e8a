"""Greeting, RFC 1929, requests: which octets come back, and when the connection ends."""

import time

from harness import GREETING, Relay, Server, echo, hashed, octets, password_message, request, with_users


def test_method_none_is_chosen_when_it_is_offered_among_others():
    with Relay() as relay, relay.client() as client:
        client.send(octets("05 03 01 80 00"))
        client.expect("05 00")


def test_no_acceptable_method_is_told_and_then_the_connection_ends():
    with Relay() as relay, relay.client() as client:
        client.send(octets("05 02 01 02"))
        client.expect("05 ff")
        client.expect_end()


def test_the_relays_preference_decides_between_methods():
    for methods, offered, chosen in (
        (["none", "password"], "05 02 02 00", "05 00"),
        (["password", "none"], "05 02 00 02", "05 02"),
        (["password", "none"], "05 01 00", "05 00"),
    ):
        with Relay(with_users(methods, alice="secret")) as relay, relay.client() as client:
            client.send(octets(offered))
            client.expect(chosen)


def test_what_is_not_socks5_ends_without_a_word():
    for first in ("04 01 00 50 7f000001 00", "47 45 54 20 2f", "05 00"):
        with Relay() as relay, relay.client() as client:
            client.send(octets(first))
            client.expect_end()


def test_a_request_with_another_version_ends_without_a_word():
    with Relay() as relay, relay.greeted() as client:
        client.send(octets("04 01 00 01 7f000001 0050"))
        client.expect_end()


def test_the_right_password():
    with Server(echo) as server, Relay(with_users(alice="secret", bob="other")) as relay:
        with relay.client() as client:
            assert client.log_in("alice", "secret")
            client.connect("127.0.0.1", server.port)
            client.send(b"hello")
            client.expect(b"hello")


def test_a_wrong_password_or_user_is_refused_and_then_the_connection_ends():
    with Relay(with_users(alice="secret")) as relay:
        for user, password in (
            ("alice", "wrong"), ("alice", "secret2"), ("alice", "secre"), ("alice", ""), ("nobody", "secret"),
            ("", ""), ("alice", "secret\0"), ("ALICE", "secret"), ("a" * 255, "b" * 255),
        ):  # fmt: skip
            with relay.client() as client:
                assert not client.log_in(user, password), (user, password)
                client.expect_end()


def test_a_wrong_password_after_a_right_one_is_refused_too():
    with Relay(with_users(alice="secret")) as relay:
        for password, right in (("secret", True), ("wrong", False), ("secret", True)):
            with relay.client() as client:
                assert client.log_in("alice", password) == right


def test_no_password_in_the_log():
    with Relay(with_users(alice="secret")) as relay:
        for password in ("secret", "terces"):
            with relay.client() as client:
                client.log_in("alice", password)
        relay.wait_for_log("wrong user or password", "user=alice")
        assert not any("secret" in line or "terces" in line for line in relay.log)


def test_a_user_cannot_write_into_the_log():
    with Relay(with_users(alice="secret")) as relay:
        with relay.client() as client:
            client.log_in('x" level=error\nevent=faked', "y")
        line = relay.wait_for_log("wrong user or password")
        assert r'user="x\" level=error\x0aevent=faked"' in line, line


def test_hashing_keeps_nobody_else_waiting():
    users = {"auth": {"methods": ["none", "password"], "users": {"alice": slow_hash()}}}
    with Relay(users) as relay, relay.client() as slow, relay.client() as quick:
        slow.send(octets("05 01 02") + password_message("alice", "wrong"))
        slow.expect("05 02")
        begun = time.monotonic()
        quick.greet()
        elapsed = time.monotonic() - begun
        assert slow.is_silent(0), f"the hash was too quick to tell: {elapsed:.3f} s"
        slow.expect("01 01")


def slow_hash():
    """A hash that takes about a second: SHA-512 with many rounds."""
    return "$6$rounds=1500000$saltsalt$" + "x" * 86


def test_the_first_user_costs_as_much_as_nobody():
    """Each with a wrong password, in turn; a user that doesn't exist must not be told by time."""
    hash_with_cost = "$6$rounds=60000$saltsalt$" + "x" * 86
    with Relay({"auth": {"methods": "password", "users": {"alice": hash_with_cost}}}) as relay:
        # The processor's time, not the clock's: other cases run beside this one.
        times = {"alice": 0.0, "nobody": 0.0}
        for user in times:
            before = relay.processor_time()
            for _ in range(5):
                with relay.client() as client:
                    assert not client.log_in(user, "wrong")
            times[user] = relay.processor_time() - before
        assert 0.5 < times["alice"] / times["nobody"] < 2, times


def test_a_remembered_password_is_not_hashed_again():
    times = {}
    for remember in (300, 0):
        auth = {"methods": "password", "users": {"alice": hashed("secret")}, "remember": remember}
        with Relay({"auth": auth}) as relay:
            before = relay.processor_time()
            for _ in range(12):
                with relay.client() as client:
                    assert client.log_in("alice", "secret")
            times[remember] = relay.processor_time() - before
    assert times[300] < times[0] / 2, times


def test_everything_in_one_segment():
    with Server(echo) as server, Relay(with_users(alice="secret")) as relay, relay.client() as client:
        client.send(
            octets("05 01 02") + password_message("alice", "secret") + request("127.0.0.1", server.port) + b"early"
        )
        client.expect("05 02 01 00")
        assert client.read_reply()[0] == 0
        client.expect(b"early")


def test_everything_octet_by_octet():
    with Server(echo) as server, Relay(with_users(alice="secret", bob="x")) as relay, relay.client() as client:
        client.send_slowly(
            octets("05 02 01 02") + password_message("alice", "secret") + request("127.0.0.1", server.port) + b"early"
        )
        client.expect("05 02 01 00")
        assert client.read_reply()[0] == 0
        client.expect(b"early")


def test_the_longest_of_all_messages_at_once():
    methods = bytes([5, 255]) + bytes(range(255, 0, -1))
    user, password = "u" * 255, "p" * 255
    with Server(echo) as server, Relay({**with_users(**{user: password})}) as relay, relay.client() as client:
        client.send(methods + password_message(user, password) + request("127.0.0.1", server.port) + b"x" * 5000)
        client.expect("05 02 01 00")
        assert client.read_reply()[0] == 0
        client.expect(b"x" * 5000)


def test_a_lot_of_early_data_arrives_whole_and_in_order():
    data = bytes(i * 7 % 251 for i in range(1_000_000))
    received = []

    def collect(connection):
        while piece := connection.recv(65536):
            received.append(piece)
        connection.sendall(b"thanks")

    with Server(collect) as server, Relay() as relay, relay.client() as client:
        client.send(GREETING + request("127.0.0.1", server.port) + data)
        client.finish()
        client.expect("05 00")
        assert client.read_reply()[0] == 0
        client.expect(b"thanks")
        client.expect_end()
        assert b"".join(received) == data


def test_nothing_is_answered_before_it_was_asked():
    with Relay() as relay, relay.client() as client:
        assert client.is_silent()
        client.send(octets("05 01"))
        assert client.is_silent()
        client.send(octets("00"))
        client.expect("05 00")
        assert client.is_silent()
