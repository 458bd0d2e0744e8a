"""LIST-FEATURES: the list, held connections, and all the ways to say no."""

import time

from harness import (
    GREETING, LIST_FEATURES, LIST_FEATURES_HOLD, Relay, Server, echo, octets, password_message, quick_hash, request,
    with_users,
)  # fmt: skip

REPLY = octets("05 00 00 01 00000000 0000")
REPLY_HELD = octets("05 00 01 01 00000000 0000")
EXTENSIONS = "80 00 08 736f636b73696679  80 01 01 02"  # "socksify", early data
DEFAULT_LIST = octets(
    f"01 05 01 00  02 01 00 02 03 00 02 04 00  03 00 00  04 01 00 04 03 00 04 10 01 01  {EXTENSIONS}  ff 00 00"
)


def entries_of(client, message=LIST_FEATURES):
    client.send(message)
    client.read(10)
    return client.read_list()


def test_the_list_and_then_the_end():
    with Relay() as relay, relay.greeted() as client:
        client.send(LIST_FEATURES)
        client.expect(REPLY + DEFAULT_LIST)
        client.expect_end()


def test_a_held_connection_carries_one_command():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        client.send(LIST_FEATURES_HOLD)
        client.expect(REPLY_HELD + DEFAULT_LIST)
        assert client.is_silent()
        client.connect("127.0.0.1", server.port)
        client.send(b"hello")
        client.expect(b"hello")


def test_held_list_features_can_be_chained():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        for _ in range(3):
            client.send(LIST_FEATURES_HOLD)
            client.expect(REPLY_HELD + DEFAULT_LIST)
        client.connect("127.0.0.1", server.port)


def test_a_chain_ends_with_one_that_is_not_held():
    with Relay() as relay, relay.greeted() as client:
        client.send(LIST_FEATURES_HOLD)
        client.expect(REPLY_HELD + DEFAULT_LIST)
        client.send(LIST_FEATURES)
        client.expect(REPLY + DEFAULT_LIST)
        client.expect_end()


def test_a_refused_command_ends_a_held_connection():
    with Relay() as relay, relay.greeted() as client:
        client.send(LIST_FEATURES_HOLD)
        client.expect(REPLY_HELD + DEFAULT_LIST)
        client.send(request("127.0.0.1", 80, 0x77))
        client.expect_refusal(7)


def test_greeting_list_features_connect_and_data_in_one_segment():
    with Server(echo) as server, Relay() as relay, relay.client() as client:
        client.send(GREETING + LIST_FEATURES_HOLD + request("127.0.0.1", server.port) + b"early")
        client.expect(octets("05 00") + REPLY_HELD + DEFAULT_LIST)
        assert client.read_reply()[0] == 0
        client.expect(b"early")


def test_list_features_octet_by_octet():
    with Server(echo) as server, Relay() as relay, relay.client() as client:
        client.send_slowly(GREETING + LIST_FEATURES_HOLD + request("127.0.0.1", server.port) + b"early")
        client.expect(octets("05 00") + REPLY_HELD + DEFAULT_LIST)
        assert client.read_reply()[0] == 0
        client.expect(b"early")


def test_the_host_of_interest_may_be_anything():
    with Relay() as relay:
        for host in ("192.0.2.1", "2001:db8::1", "a.example", "nonexistent.invalid"):
            with relay.greeted() as client:
                client.send(request(host, 80, 0x10))
                client.expect(REPLY + DEFAULT_LIST)


def test_without_hold_the_flag_is_not_granted_and_not_announced():
    with Relay({"features": {"hold": False}}) as relay, relay.greeted() as client:
        client.send(LIST_FEATURES_HOLD)
        client.expect(REPLY)
        entries = client.read_list()
        assert (0x04, 0x10, b"") in entries
        client.expect_end()


def test_unknown_flags_are_ignored():
    with Relay() as relay:
        for flag, reply in ((0xFE, REPLY), (0xFF, REPLY_HELD)):
            with relay.greeted() as client:
                client.send(request("0.0.0.0", 0, 0x10, flag))
                client.expect(reply)


def test_a_held_connection_is_given_up_after_a_while():
    with Relay({"timeouts": {"held": 0.3}}) as relay, relay.greeted() as client:
        client.send(LIST_FEATURES_HOLD)
        client.expect(REPLY_HELD + DEFAULT_LIST)
        begun = time.monotonic()
        client.expect_end()
        assert 0.2 < time.monotonic() - begun < 5


def test_a_held_connection_may_wait_longer_than_a_handshake():
    with Relay({"timeouts": {"handshake": 0.3}}) as relay, relay.greeted() as client:
        client.send(LIST_FEATURES_HOLD)
        client.expect(REPLY_HELD + DEFAULT_LIST)
        assert client.is_silent(0.6)
        client.send(LIST_FEATURES)
        client.expect(REPLY + DEFAULT_LIST)


def test_the_list_follows_the_switches():
    for off, missing in (("names", (2, 3)), ("ipv4", (2, 1)), ("ipv6", (2, 4))):
        with Relay({"features": {off: False}}) as relay, relay.greeted() as client:
            kinds = [entry[:2] for entry in entries_of(client)]
            assert missing not in kinds
            assert len([kind for kind in kinds if kind[0] == 2]) == 2


def test_the_list_names_the_methods_and_the_server():
    config = {
        **with_users(["none", "password"], alice="secret"),
        "server": {"hostname": "h.example", "url": "https://h.example/", "opaque_id": "id", "load": True},
        "limits": {"connections": 4},
    }
    with Relay(config) as relay, relay.greeted() as client:
        entries = entries_of(client)
        assert [entry[1] for entry in entries if entry[0] == 3] == [0, 2]
        assert entries[-6:-2] == [
            (0x10, 1, b"h.example"), (0x10, 2, b"https://h.example/"), (0x10, 3, b"id"), (0x10, 4, b"0.250"),
        ]  # fmt: skip


def test_list_features_after_a_password():
    with Relay(with_users(alice="secret")) as relay, relay.client() as client:
        assert client.log_in("alice", "secret")
        entries = entries_of(client)
        assert [entry[1] for entry in entries if entry[0] == 3] == [2]


def test_list_features_before_a_password_is_no_way_in():
    with Relay(with_users(alice="secret")) as relay, relay.client() as client:
        client.send(octets("05 01 02"))
        client.expect("05 02")
        client.send(LIST_FEATURES)
        client.expect_end()


def test_scope_is_true():
    """Who asks from elsewhere, as another user, or for another host gets another list exactly if SCOPE says so."""
    users = {"methods": ["none", "password"], "users": {"alice": quick_hash("secret")}}
    denied = {"action": "deny"}
    for rules, scope, others in (
        ([], None, []),
        ([denied], None, []),
        ([{"client": "127.0.0.2", "action": "deny"}], b"\x01", ["client"]),
        ([{"user": "alice", "action": "allow"}, denied], b"\x02", ["user"]),
        ([{"destination": "bad.example", "action": "deny"}], b"\x03", ["destination"]),
        (
            [{"client": "127.0.0.2", "action": "deny"}, {"user": "alice", "port": 443, "action": "allow"}, denied],
            b"\x01\x02\x03", ["user"],
        ),
    ):  # fmt: skip
        config = {"auth": users, "rules": rules, "features": {"per_destination": True}}
        with Relay(config) as relay:
            plain = entries_as(relay)
            found = next((entry[2] for entry in plain if entry[:2] == (0, 0x10)), None)
            assert found == scope, (rules, found)
            differing = [
                who for who, entries in (
                    ("client", entries_as(relay, source="127.0.0.2")),
                    ("user", entries_as(relay, user="alice")),
                    ("destination", entries_as(relay, host="bad.example")),
                ) if entries != plain
            ]  # fmt: skip
            assert differing == others, (rules, differing)


def entries_as(relay, source=None, user=None, host="0.0.0.0"):
    with relay.client(source=source) as client:
        if user:
            assert client.log_in(user, "secret")
        else:
            client.greet()
        return entries_of(client, request(host, 443 if host != "0.0.0.0" else 0, 0x10))


def test_switched_off_it_is_an_unknown_command():
    with Relay({"features": {"list_features": False}}) as relay, relay.greeted() as client:
        client.send(LIST_FEATURES_HOLD)
        client.expect_refusal(7)


def test_ways_to_say_no():
    for answer, wire in (
        ("refuse", "05 07 00 01 00000000 0000"),
        ("general_failure", "05 01 00 01 00000000 0000"),
        ("close", ""),
        ("four_octets", "05 07 00 01"),
        ("garbage", "05 00 00 01 00000000 0000 485454502f31"),
    ):
        with Relay({"test_behaviour": {"list_features": answer}}) as relay, relay.greeted() as client:
            client.send(LIST_FEATURES_HOLD)
            client.expect(wire)
            client.expect_end()


def test_silence_lasts_and_costs_nothing():
    with Relay({"test_behaviour": {"list_features": "silence"}, "timeouts": {"handshake": 0.2}}) as relay:
        with relay.greeted() as client:
            client.send(LIST_FEATURES_HOLD + b"x" * 5000)
            before = relay.processor_time()
            assert client.is_silent(0.7)
            assert relay.processor_time() - before < 0.2


def test_a_spoilt_saying_no_is_for_list_features_only():
    with Server(echo) as server, Relay({"test_behaviour": {"list_features": "silence"}}) as relay:
        with relay.greeted() as client:
            client.connect("127.0.0.1", server.port)


def test_a_list_that_ends_badly():
    for end, wire in (("tag_only", "ff"), ("none", "")):
        with Relay({"test_behaviour": {"list_end": end}}) as relay:
            with relay.greeted() as client:
                client.send(LIST_FEATURES)
                client.expect(REPLY + DEFAULT_LIST[:-3] + octets(wire))
                client.expect_end()
            with relay.greeted() as client:
                client.send(LIST_FEATURES_HOLD)
                client.expect(REPLY_HELD + DEFAULT_LIST[:-3] + octets(wire))
                assert client.is_silent()


def test_a_list_that_lies():
    with Relay({"test_behaviour": {"list_also": "04 02 00 04 04 00"}}) as relay:
        with relay.greeted() as client:
            assert (4, 2, b"") in entries_of(client)
        with relay.greeted() as client:
            client.send(request("0.0.0.0", 0, 2))
            client.expect_refusal(7)


def test_another_list_instead():
    with Relay({"test_behaviour": {"list_instead": "07 13 06 48656c6c6f2e ff 00 00"}}) as relay:
        with relay.greeted() as client:
            assert entries_of(client) == [(7, 0x13, b"Hello.")]
            client.expect_end()


def test_a_promise_to_hold_that_is_broken():
    with Relay({"test_behaviour": {"break_hold": True}}) as relay, relay.greeted() as client:
        client.send(LIST_FEATURES_HOLD)
        client.expect(REPLY_HELD + DEFAULT_LIST)
        client.expect_end()


def test_each_reply_can_be_delayed():
    config = {**with_users(alice="secret"), "test_behaviour": {"reply_delay_ms": 150}}
    with Relay(config) as relay, relay.client() as client:
        begun = time.monotonic()
        client.send(octets("05 01 02") + password_message("alice", "secret") + LIST_FEATURES)
        client.expect("05 02")
        assert time.monotonic() - begun > 0.14
        client.expect("01 00")
        assert time.monotonic() - begun > 0.29
        client.expect(REPLY)
        assert time.monotonic() - begun > 0.44
