"""OPEN SESSION, and what comes by its token (doc/wire.md, section 9)."""

import contextlib
import struct
import time

from harness import SIGHUP, SIGTERM, Relay, Server, echo, octets, request, wait_until, with_users

OPEN = octets("05 a0 00 01 00000000 0000")


def sessions_relay(more=None, **users):
    config = {**with_users(**(users or {"alice": "secret"})), "features": {"sessions": True}}
    return Relay({**config, **(more or {})})


def logged_in(relay, user="alice", password="secret", **options):
    client = relay.client(**options)
    assert client.log_in(user, password)
    return client


def opened(client):
    """Token and lifetime."""
    client.send(OPEN)
    assert client.read_reply() == (0, 0, ("0.0.0.0", 0))
    token = client.read(client.read(1)[0])
    return token, struct.unpack("!I", client.read(4))[0]


def by_token(token):
    return octets("05 01 a0 01") + bytes([len(token)]) + token


def is_good(relay, token, port, **options):
    """Whether the token, with a request behind it, leads to the echo at `port`."""
    with relay.client(**options) as client:
        client.send(by_token(token) + request("127.0.0.1", port) + b"early")
        client.expect("05 a0")
        if client.read(2) != b"\x01\x00":
            client.expect_end()
            return False
        assert client.read_reply()[0] == 0
        client.expect(b"early")
        return True


def test_a_token_in_place_of_the_password_in_one_segment():
    with sessions_relay() as relay, Server(echo) as server, logged_in(relay) as control:
        token, lifetime = opened(control)
        assert (len(token), lifetime) == (32, 300)
        for _ in range(3):
            assert is_good(relay, token, server.port)
        line = relay.wait_for_log("event=connected", "user=alice")
        assert line
        assert control.is_silent()


def test_a_token_octet_by_octet_and_one_message_after_the_other():
    with sessions_relay() as relay, Server(echo) as server, logged_in(relay) as control:
        token, _ = opened(control)
        with relay.client() as client:
            client.send_slowly(by_token(token) + request("127.0.0.1", server.port))
            client.expect("05 a0 01 00")
            assert client.read_reply()[0] == 0
        with relay.client() as client:
            client.send(octets("05 02 a0 02"))
            client.expect("05 a0")
            client.send(b"\x01\x20" + token)
            client.expect("01 00")
            client.connect("127.0.0.1", server.port)


def test_a_token_is_good_from_its_own_address_only():
    with sessions_relay() as relay, Server(echo) as server, logged_in(relay, source="127.0.0.1") as control:
        token, _ = opened(control)
        assert not is_good(relay, token, server.port, source="127.0.0.2")
        assert is_good(relay, token, server.port, source="127.0.0.1")
        relay.wait_for_log("event=refused", "no such session", "client=127.0.0.2")


def test_tokens_that_are_none():
    with sessions_relay() as relay, Server(echo) as server, logged_in(relay) as control:
        token, _ = opened(control)
        last = bytes([token[-1] ^ 1])
        wrong = [b"", token[:-1], token + b"\0", bytes(32), bytes(255), token[:8] + bytes(24), token[:-1] + last]
        for one in wrong:
            assert not is_good(relay, one, server.port), one.hex()
        assert server.peers == []


def test_half_a_token_is_waited_for_as_long_as_a_handshake_may_take():
    with sessions_relay({"timeouts": {"handshake": 0.4}}) as relay:
        for part in (b"\x01", b"\x01\x20", b"\x01\x20" + bytes(31)):
            with relay.client() as client:
                client.send(octets("05 01 a0") + part)
                client.expect("05 a0")
                client.expect_end()
        with relay.client() as client:
            client.send(octets("05 01 a0  05 20"))
            client.expect("05 a0")
            with contextlib.suppress(ConnectionError):  # the rest was not read
                client.expect_end()


def test_a_token_outlives_its_control_connection_for_its_time_only():
    with sessions_relay({"timeouts": {"session": 1}}) as relay, Server(echo) as server:
        with logged_in(relay) as control:
            token, lifetime = opened(control)
            assert lifetime == 1
            time.sleep(1.2)
            assert is_good(relay, token, server.port)  # while that stands
        assert is_good(relay, token, server.port)
        time.sleep(1.2)
        assert not is_good(relay, token, server.port)
        assert not is_good(relay, token, server.port)


def test_a_token_without_a_lifetime_ends_with_its_control_connection():
    with sessions_relay({"timeouts": {"session": 0}}) as relay, Server(echo) as server:
        with logged_in(relay) as control:
            token, lifetime = opened(control)
            assert lifetime == 0
            assert is_good(relay, token, server.port)
        wait_until(lambda: not is_good(relay, token, server.port), "the token's end")


def test_what_goes_through_by_token_outlives_the_session():
    with sessions_relay({"timeouts": {"session": 0}}) as relay, Server(echo) as server:
        control = logged_in(relay)
        token, _ = opened(control)
        with relay.client() as client:
            client.send(by_token(token))
            client.expect("05 a0 01 00")
            client.connect("127.0.0.1", server.port)
            control.socket.close()
            wait_until(lambda: not is_good(relay, token, server.port), "the token's end")
            client.send(b"still here")
            client.expect(b"still here")


def test_rules_for_a_user_hold_by_token():
    rules = {"rules": [{"user": "alice", "action": "allow"}, {"action": "deny"}]}
    with sessions_relay(rules, alice="secret", bob="terces") as relay, Server(echo) as server:
        with logged_in(relay) as hers, logged_in(relay, "bob", "terces") as his:
            assert is_good(relay, opened(hers)[0], server.port)
            token, _ = opened(his)
            with relay.client() as client:
                client.send(by_token(token) + request("127.0.0.1", server.port))
                client.expect("05 a0 01 00")
                client.expect_refusal(2)


def test_a_token_is_void_when_its_user_has_another_password():
    with sessions_relay() as relay, Server(echo) as server, logged_in(relay) as control:
        token, _ = opened(control)
        relay.write({**relay.config, **with_users(alice="another")})
        relay.signal(SIGHUP)
        relay.wait_for_log("event=reloaded")
        assert not is_good(relay, token, server.port)


def test_a_session_takes_a_password():
    with sessions_relay({**with_users(["none", "password"], alice="secret")}) as relay:
        with relay.greeted() as client:
            client.send(OPEN)
            client.expect_refusal(2)
        with logged_in(relay) as control:
            token, _ = opened(control)
            with relay.client() as client:  # or it would live for ever
                client.send(by_token(token) + OPEN)
                client.expect("05 a0 01 00")
                client.expect_refusal(2)


def test_limits_of_sessions():
    limits = {"limits": {"sessions": 3, "sessions_per_user": 2}, "timeouts": {"session": 0}}
    with sessions_relay(limits, alice="secret", bob="terces") as relay, contextlib.ExitStack() as stack:
        hers = [stack.enter_context(logged_in(relay)) for _ in range(2)]
        tokens = [opened(control)[0] for control in hers]
        assert tokens[0] != tokens[1]
        with logged_in(relay) as client:
            client.send(OPEN)
            client.expect_refusal(0xA4)
        opened(stack.enter_context(logged_in(relay, "bob", "terces")))
        with logged_in(relay, "bob", "terces") as client:
            client.send(OPEN)
            client.expect_refusal(0xA4)
        relay.wait_for_log("event=refused", "limits.sessions")
        hers[0].socket.close()

        def one_more():
            with logged_in(relay) as client:
                client.send(OPEN)
                return client.read_reply()[0] == 0

        wait_until(one_more, "room for one more")


def test_sessions_are_off_unless_switched_on():
    with Relay({**with_users(alice="secret")}) as relay:
        with logged_in(relay) as client:
            client.send(OPEN)
            client.expect_refusal(7)
        with relay.client() as client:
            client.send(by_token(bytes(32)))
            client.expect("05 ff")
        with logged_in(relay) as client:
            client.send(octets("05 10 00 01 00000000 0000"))
            client.read_reply()
            tags = [entry[:2] for entry in client.read_list()]
            assert not {(3, 0xA0), (4, 0xA0), (0x80, 2)} & set(tags)


def test_the_list_tells_of_sessions():
    with sessions_relay({"timeouts": {"session": 60}, "limits": {"sessions_per_user": 7}}) as relay:
        with logged_in(relay) as client:
            client.send(octets("05 10 00 01 00000000 0000"))
            client.read_reply()
            entries = client.read_list()
        assert {(3, 0xA0, b""), (4, 0xA0, b"\x01"), (0x80, 2, octets("0000003c 00000007"))} <= set(entries)


def test_no_token_in_the_log():
    with sessions_relay() as relay, Server(echo) as server, logged_in(relay) as control:
        token, _ = opened(control)
        assert is_good(relay, token, server.port)
        assert not is_good(relay, token[:16] + bytes(16), server.port)
        relay.wait_for_log("event=session", "user=alice")
        relay.wait_for_log("no such session")
        text = "\n".join(relay.log)
        assert token.hex()[:16] not in text and token[:8].hex(" ") not in text


def test_what_comes_on_a_control_connection_is_nothing():
    with sessions_relay() as relay, Server(echo) as server, logged_in(relay) as control:
        token, _ = opened(control)
        control.send(OPEN + request("127.0.0.1", server.port) + bytes(5000))
        assert control.is_silent()
        assert server.peers == []
        assert is_good(relay, token, server.port)


def test_sigterm_ends_control_connections():
    with sessions_relay({"timeouts": {"drain": 30}}) as relay, logged_in(relay) as control:
        opened(control)
        begun = time.monotonic()
        relay.signal(SIGTERM)
        control.expect_end()
        relay.process.wait(10)
        assert time.monotonic() - begun < 5
