"""What needs a network of its own: other addresses of the host, no route, no IPv6, a name server that is dead.

Each case runs again in a namespace of users, networks and mounts, if the kernel lets us have one.
"""

import functools
import os
import pathlib
import socket
import subprocess
import sys
import time

import harness
from cases_udp import Echo, associate, dropped
from harness import Relay, Server, Skip, echo, request

INSIDE = "RELAY_TEST_INSIDE"


def in_namespace(case):
    @functools.wraps(case)
    def outside():
        script = (
            f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r});"
            "import harness, pathlib, cases_namespace;"
            f"harness.PROGRAM = pathlib.Path({str(harness.PROGRAM)!r});"
            f"cases_namespace.{case.__name__}.__wrapped__()"
        )
        # Root may just do it; others need a user namespace, which some systems forbid.
        options = ["--net", "--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net", "--mount"]
        command = ["unshare", *options]
        if not os.access("/usr/sbin/ip", os.X_OK) or subprocess.run([*command, "true"], capture_output=True).returncode:
            raise Skip("no namespaces here")
        result = subprocess.run([*command, sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
        assert result.returncode == 0, result.stdout + result.stderr

    return outside


def ip(*words):
    subprocess.run(["/usr/sbin/ip", *words], check=True)


def set_up():
    ip("link", "set", "lo", "up")
    ip("link", "add", "net0", "type", "veth", "peer", "name", "net1")  # not every kernel has dummy links
    ip("link", "set", "net1", "up")
    ip("address", "add", "10.7.0.1/24", "dev", "net0")
    ip("address", "add", "10.7.0.2/24", "dev", "net0")  # a secondary one
    ip("address", "add", "fd77::1/64", "dev", "net0", "nodad")
    ip("link", "set", "net0", "up")


@in_namespace
def test_each_own_address_is_guarded_new_ones_too():
    set_up()
    with Server(echo, "0.0.0.0") as server, Server(echo, "::", server.port):
        with Relay({"guard_own_host": True, "hosts": {"me.test": ["10.7.0.2", "fd77::1"]}}) as relay:
            for host in ("10.7.0.1", "10.7.0.2", "fd77::1", "me.test"):
                with relay.greeted() as client:
                    client.send(request(host, server.port))
                    client.expect_refusal(2)
            ip("address", "add", "10.7.0.3/32", "dev", "lo")
            time.sleep(2.1)
            with relay.greeted() as client:
                client.send(request("10.7.0.3", server.port))
                client.expect_refusal(2)
            assert not server.peers
        with Relay({"guard_own_host": False}) as relay:
            for host in ("10.7.0.2", "fd77::1"):
                with relay.greeted() as client:
                    client.connect(host, server.port)


@in_namespace
def test_a_destination_that_becomes_an_own_address_is_guarded_from_then_on():
    set_up()
    ip("address", "add", "10.7.0.9/24", "dev", "net1")
    config = {"guard_own_host": True, "rules": [{"destination": "10.7.0.9", "action": "allow"}], "hosts": {"it.test": "10.7.0.3"}}
    with Relay(config) as relay, associate(relay) as client:
        for host in ("10.7.0.3", "it.test"):
            client.send(b"to nobody, but not denied", host, 9)
        time.sleep(0.2)
        assert not any("event=dropped" in line for line in relay.log)
        ip("address", "add", "10.7.0.3/32", "dev", "lo")
        with Echo("10.7.0.3") as own:
            time.sleep(2.1)
            for host in ("10.7.0.3", "it.test"):
                client.send(b"hello", host, own.port)
            client.control.socket.close()
            assert "denied=2" in relay.wait_for_log("event=closed")
            assert not own.got


@in_namespace
def test_datagrams_without_a_route_disturb_nobody():
    set_up()
    ip("route", "add", "prohibit", "10.8.0.0/24")
    with Echo("10.7.0.2") as near, Relay() as relay, associate(relay) as client:
        for host in ("10.8.0.1", "10.9.0.1", "2001:db8::1"):
            client.send(b"nowhere", host, 9)
            client.exchange(b"hello", near)
        client.control.socket.close()
        assert "unsent=3" in relay.wait_for_log("event=closed")


@in_namespace
def test_associations_at_each_address_of_the_relay():
    set_up()
    with Echo("10.7.0.1") as v4, Echo("fd77::1") as v6:
        with Relay({"listen": ["0.0.0.0:0", "[::]:0"], "insecure_open": True}) as relay:
            for host, port in (("10.7.0.1", 0), ("10.7.0.2", 0), ("127.0.0.1", 0), ("fd77::1", 1), ("::1", 1)):
                with associate(relay, host=host, port=relay.ports[port]) as client:
                    assert client.bound[0] == host, client.bound
                    for size in (1, 1472, 20_000):
                        client.exchange(bytes(size), v4)
                        client.exchange(bytes(size), v6)


def told_by_bind(relay, destination):
    with relay.greeted() as client:
        client.send(request(destination, 0, 2))
        code, _, bound = client.read_reply()
        assert code == 0, code
        with socket.create_connection(bound):  # who is told there must get there
            assert client.read_reply()[0] == 0
        return bound[0]


@in_namespace
def test_clients_are_told_the_address_that_their_peer_can_reach():
    set_up()
    with Relay({"features": {"bind": True, "listen": True}}) as relay:
        # Without a peer and without a way to the world: where the client has come to.
        assert told_by_bind(relay, "0.0.0.0") == "127.0.0.1"
        # Towards a peer: the address on that side.
        ip("address", "add", "10.8.0.1/24", "dev", "net1")
        with relay.greeted() as client:
            client.send(request("10.8.0.7", 0, 2))
            assert client.read_reply()[2][0] == "10.8.0.1"
        # To the world: that of the default route.
        ip("route", "add", "default", "via", "10.8.0.254")
        assert told_by_bind(relay, "0.0.0.0") == "10.8.0.1"
        ip("-6", "route", "add", "default", "via", "fd77::2", "dev", "net0")
        assert told_by_bind(relay, "::") == "fd77::1"


@in_namespace
def test_both_families_are_listened_on_where_the_world_is_reached_by_one():
    set_up()
    ip("route", "add", "default", "via", "10.7.0.254")
    with Relay({"features": {"bind": True, "listen": True}}) as relay:
        assert told_by_bind(relay, "::") == "10.7.0.1"  # there is no IPv6 address to be told


@in_namespace
def test_kernel_errors_become_replies():
    set_up()
    for kind, code in (("unreachable", 4), ("prohibit", 2), ("blackhole", 1)):
        ip("route", "replace", kind, "10.8.0.0/24")
        with Relay() as relay:
            for host, expected in (("10.8.0.1", code), ("10.9.0.1", 3), ("2001:db8::1", 3)):
                with relay.greeted() as client:
                    client.send(request(host, 80))
                    client.expect_refusal(expected)


@in_namespace
def test_without_ipv6():
    for name in ("all", "default", "lo"):
        pathlib.Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1", encoding="ascii")
    ip("link", "set", "lo", "up")
    with Server(echo) as server, Relay({"hosts": {"both.test": ["::1", "127.0.0.1"]}}) as relay:
        for host in ("127.0.0.1", "both.test", "localhost"):
            with relay.greeted() as client:
                client.connect(host, server.port)
        with relay.greeted() as client:
            client.send(request("::1", server.port))
            assert client.read_reply()[0] in (1, 3, 4, 8)
        with Echo() as echoing, associate(relay) as client:
            for name in ("127.0.0.1", "both.test", "localhost"):
                client.exchange(b"hello", echoing, name)
            client.send(b"nowhere", "::1", echoing.port)
            dropped(relay, unsent=1)
    with Relay({"features": {"bind": True, "listen": True}}) as relay:
        assert told_by_bind(relay, "::") == "127.0.0.1"
    import cases_embedded  # pylint: disable=import-outside-toplevel

    cases_embedded.test_one_line_and_a_relay_behind_it()
    cases_embedded.test_everything_is_on()


@in_namespace
def test_a_dead_name_server_holds_up_no_other_name():
    set_up()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("10.7.0.1", 53))
        resolv = pathlib.Path("/tmp") / f"relay-resolv-{os.getpid()}"
        resolv.write_text("nameserver 10.7.0.1\noptions timeout:5 attempts:1\n", encoding="ascii")
        try:
            target = os.path.realpath("/etc/resolv.conf")
            if not os.path.exists(target):
                raise Skip("no /etc/resolv.conf to put another in its place")
            subprocess.run(["mount", "--bind", str(resolv), target], check=True)
            silent_names_hold_up_no_datagram()
            config = {"timeouts": {"connect": 1}, "limits": {"lookups": 4}}
            with Server(echo) as server, Relay(config) as relay:
                waiting = [relay.greeted() for _ in range(3)]
                for i, client in enumerate(waiting):
                    client.send(request(f"name{i}.example", 80))
                time.sleep(0.1)
                with relay.greeted() as client:  # /etc/hosts has it
                    begun = time.monotonic()
                    client.connect("localhost", server.port)
                    assert time.monotonic() - begun < 0.5
                for client in waiting:
                    client.expect_refusal(4)
                    client.socket.close()
                # The look-ups are still under way, but nobody waits for them any more.
                begun = time.monotonic()
                relay.process.terminate()
                assert relay.process.wait(20) == 0
                assert time.monotonic() - begun < 2
        finally:
            resolv.unlink()


def silent_names_hold_up_no_datagram():
    """Of one association, at most four names are asked for at the same time."""
    config = {"timeouts": {"connect": 0.7}, "limits": {"lookups": 5}, "hosts": {"known.test": "127.0.0.1"}}
    with Echo() as echoing, Relay(config) as relay, associate(relay) as client:
        for number in range(40):  # of which 32 may wait
            client.send(b"nowhere", f"name{number}.example", 9)
        begun = time.monotonic()
        client.exchange(b"hello", echoing)
        client.exchange(b"hello", echoing, "127.0.0.1")
        with associate(relay) as other:
            other.exchange(b"hello", echoing, "localhost")
        assert time.monotonic() - begun < 0.5
        time.sleep(1)  # all are given up
        client.control.socket.close()
        assert "unresolved=40 " in relay.wait_for_log("event=closed", "id=1")
