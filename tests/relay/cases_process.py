"""Signals: drain, end, and the configuration read again."""

import time

from harness import (
    LIST_FEATURES_HOLD, SIGHUP, SIGINT, SIGTERM, Client, Relay, Server, echo, free_port, request, run,
    silent_server, wait_until, with_users,
)  # fmt: skip


def refuses_connections(port):
    try:
        Client(port).socket.close()
    except ConnectionRefusedError:
        return True
    return False


def test_without_tunnels_it_ends_at_once():
    for number in (SIGTERM, SIGINT):
        with Relay() as relay:
            begun = time.monotonic()
            relay.signal(number)
            assert relay.process.wait(20) == 0
            assert time.monotonic() - begun < 3


def test_it_drains():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        client.connect("127.0.0.1", server.port)
        relay.signal(SIGTERM)
        wait_until(lambda: refuses_connections(relay.port), "no more connections are taken")
        time.sleep(0.2)
        client.send(b"still here")
        client.expect(b"still here")
        assert relay.process.poll() is None
        client.finish()
        client.expect_end()
        assert relay.process.wait(20) == 0


def test_it_looks_again_before_it_sleeps_but_sleeps():
    with Server(echo) as server, Relay({"limits": {"busy_poll_us": 1000}}) as relay, relay.greeted() as client:
        client.connect("127.0.0.1", server.port)
        for _ in range(200):
            client.send(b"?")
            client.expect(b"?")
        begun = relay.processor_time()
        time.sleep(1)
        assert relay.processor_time() - begun < 0.2


def test_a_handshake_under_way_may_end_well_while_it_drains():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        relay.signal(SIGTERM)
        relay.wait_for_log("event=draining")
        client.connect("127.0.0.1", server.port)
        client.send(b"hello")
        client.expect(b"hello")


def test_a_signal_at_its_very_end_does_not_change_its_status():
    for _ in range(5):
        with Server(echo) as server, Relay() as relay, relay.greeted() as client:
            client.connect("127.0.0.1", server.port)
            relay.signal(SIGTERM)
            relay.wait_for_log("event=draining")
            client.socket.close()
            while relay.process.poll() is None:
                relay.signal(SIGTERM)
                time.sleep(0.0002)  # without a pause, one that a sanitizer makes slow does nothing else but take them
            assert relay.process.wait(20) == 0


def test_a_reload_while_it_drains_opens_nothing():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        client.connect("127.0.0.1", server.port)
        relay.signal(SIGTERM)
        relay.wait_for_log("event=draining")
        relay.signal(SIGHUP)
        relay.wait_for_log("event=reload_failed", "draining")
        assert refuses_connections(relay.port)


def test_a_held_connection_does_not_keep_it():
    with Relay() as relay, relay.greeted() as client:
        client.send(LIST_FEATURES_HOLD)
        client.expect("05 00 01")
        client.read(7)
        client.read_list()
        relay.signal(SIGTERM)
        client.expect_end()
        assert relay.process.wait(20) == 0


def test_draining_has_an_end():
    with Server(echo) as server, Relay({"timeouts": {"drain": 0.4}}) as relay, relay.greeted() as client:
        client.connect("127.0.0.1", server.port)
        begun = time.monotonic()
        relay.signal(SIGTERM)
        assert relay.process.wait(20) == 0
        assert 0.3 < time.monotonic() - begun < 5
        relay.wait_for_log("event=closed", "by=shutdown")


def test_draining_has_an_end_though_a_connect_hangs():
    with silent_server() as port, Relay({"timeouts": {"drain": 0.2}}) as relay, relay.greeted() as client:
        client.send(request("127.0.0.1", port))
        time.sleep(0.1)
        begun = time.monotonic()
        relay.signal(SIGTERM)
        assert relay.process.wait(20) == 0
        assert time.monotonic() - begun < 5


def test_the_second_signal_ends_it_at_once():
    with Server(echo) as server, Relay() as relay, relay.greeted() as client:
        client.connect("127.0.0.1", server.port)
        relay.signal(SIGTERM)
        relay.wait_for_log("event=draining")
        begun = time.monotonic()
        relay.signal(SIGINT)
        assert relay.process.wait(20) == 0
        assert time.monotonic() - begun < 1


def test_signals_that_were_blocked_before_it_started_work():
    with Relay(prefix=["/usr/bin/python3", "-c", BLOCK]) as relay:
        relay.signal(SIGTERM)
        assert relay.process.wait(20) == 0


BLOCK = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
os.execv(sys.argv[1], sys.argv[1:])
"""


def reload(relay, config):
    relay.log.clear()
    relay.write({**relay.config, **config})
    relay.signal(SIGHUP)


def test_reload_changes_the_rules_for_new_connections():
    with Server(echo) as server, Relay() as relay, relay.greeted() as before:
        before.connect("127.0.0.1", server.port)
        reload(relay, {"rules": [{"action": "deny"}]})
        relay.wait_for_log("event=reloaded")
        with relay.greeted() as client:
            client.send(request("127.0.0.1", server.port))
            client.expect_refusal(2)
        before.send(b"untouched")
        before.expect(b"untouched")


def test_reload_changes_users():
    with Relay(with_users(alice="old")) as relay:
        with relay.client() as client:
            assert client.log_in("alice", "old")
        reload(relay, with_users(alice="new"))
        relay.wait_for_log("event=reloaded")
        for password, right in (("old", False), ("new", True)):
            with relay.client() as client:
                assert client.log_in("alice", password) == right


def test_reload_opens_and_closes_listeners():
    first, second, third = free_port(), free_port(), free_port()
    with Relay({"listen": [f"127.0.0.1:{first}", f"127.0.0.1:{second}"]}) as relay:
        reload(relay, {"listen": [f"127.0.0.1:{second}", f"127.0.0.1:{third}"]})
        relay.wait_for_log("event=reloaded")
        assert refuses_connections(first)
        for port in (second, third):
            with Client(port) as client:
                client.greet()


def test_a_bad_file_changes_nothing_and_says_why():
    with Server(echo) as server, Relay() as relay:
        for text, why in (
            ('{\n"rulse": []\n}', "relay.json:2:1"),
            ("{", "relay.json:1:2"),
            ('{"listen": "0.0.0.0:0"}', "beyond loopback"),
        ):
            relay.log.clear()
            relay.file.write_text(text)
            relay.signal(SIGHUP)
            assert relay.wait_for_log("event=reload_failed", why)
            with relay.greeted() as client:
                client.connect("127.0.0.1", server.port)
        relay.file.unlink()
        relay.log.clear()
        relay.signal(SIGHUP)
        relay.wait_for_log("event=reload_failed", "No such file")


def test_a_listener_that_cannot_be_opened_changes_nothing_and_says_why():
    with Server(echo) as taken, Relay() as relay:
        reload(relay, {"listen": ["127.0.0.1:0", f"127.0.0.1:{taken.port}"], "rules": [{"action": "deny"}]})
        assert relay.wait_for_log("event=reload_failed", f"127.0.0.1:{taken.port}", "Address already in use")
        with relay.greeted() as client:
            client.connect("127.0.0.1", taken.port)


def test_a_port_that_is_taken_is_one_clear_line():
    with Server(echo) as taken, Relay() as relay:
        relay.write({**relay.config, "listen": f"127.0.0.1:{taken.port}"})
        result = run("--config", str(relay.file))
        assert result.returncode == 1
        assert result.stderr == (
            f"socksify-relay: cannot listen on 127.0.0.1:{taken.port}: Address already in use\n"
        ), result.stderr


def test_several_addresses():
    with Server(echo) as server, Relay({"listen": ["127.0.0.1:0", "127.0.0.2:0"]}) as relay:
        for host, port in zip(("127.0.0.1", "127.0.0.2"), relay.ports):
            with Client(port, host) as client:
                client.greet()
                client.connect("127.0.0.1", server.port)


def test_the_descriptor_limit_is_raised():
    with Relay(prefix=["/bin/sh", "-c", 'ulimit -S -n 64; exec "$0" "$@"']) as relay:
        with open(f"/proc/{relay.process.pid}/limits", encoding="ascii") as limits:
            line = next(line for line in limits if line.startswith("Max open files"))
        soft, hard = line.split()[3:5]
        assert soft == hard != "64"
