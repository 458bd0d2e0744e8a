"""Rules, and the relay's own host."""

import socket

from harness import Relay, Server, Skip, echo, needs_ipv6, request, with_users

LOCAL = {"destination": ["127.0.0.0/8", "::1"], "action": "allow"}


def refused(client, host, port):
    client.send(request(host, port))
    client.expect_refusal(2)


def own_address():
    """An address of this host that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.254", 9))
        except OSError as error:
            raise Skip("no address but loopback; see cases_namespace") from error
        return probe.getsockname()[0]


def test_the_own_host_is_guarded_by_default():
    names = {"hosts": {"evil.test": "127.0.0.1", "evil6.test": "::1", "mapped.test": "::ffff:127.0.0.1"}}
    with Server(echo) as server, Relay({"guard_own_host": True, **names}) as relay:
        for host in (
            "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "localhost", "evil.test", "evil6.test",
            "mapped.test", "169.254.169.254", "fe80::1", "0.0.0.1",
        ):  # fmt: skip
            with relay.greeted() as client:
                refused(client, host, server.port)
        assert not server.peers


def test_odd_spellings_of_loopback_are_names_that_resolve_to_it():
    with Server(echo) as server, Relay({"guard_own_host": True}) as relay:
        for host in ("127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]"):
            with relay.greeted() as client:
                client.send(request(host, server.port))
                code = client.read_reply()[0]
                assert code in (2, 4), (host, code)
        assert not server.peers


def test_any_own_address_is_guarded():
    address = own_address()
    with Server(echo, address) as server, Relay({"guard_own_host": True, "hosts": {"me.test": address}}) as relay:
        for host in (address, "me.test", f"::ffff:{address}"):
            with relay.greeted() as client:
                refused(client, host, server.port)
        assert not server.peers


def test_a_rule_opens_one_address_of_the_own_host():
    with Server(echo) as server, Server(echo) as other:
        rules = [{"destination": "127.0.0.1", "port": server.port, "action": "allow"}]
        with Relay({"guard_own_host": True, "rules": rules, "hosts": {"a.test": "127.0.0.1"}}) as relay:
            for host in ("127.0.0.1", "a.test"):
                with relay.greeted() as client:
                    client.connect(host, server.port)
                with relay.greeted() as client:
                    refused(client, host, other.port)


def test_a_name_with_one_forbidden_address_goes_to_the_other():
    needs_ipv6()
    with Server(echo) as server:
        rules = [{"destination": "127.0.0.1", "action": "allow"}]
        hosts = {"both.test": ["::1", "127.0.0.1"]}
        with Relay({"guard_own_host": True, "rules": rules, "hosts": hosts}) as relay, relay.greeted() as client:
            assert client.connect("both.test", server.port)[0] == "127.0.0.1"


def test_rules_for_users():
    with Server(echo) as server:
        rules = [{"user": "alice", "action": "allow"}, {"action": "deny"}]
        config = {**with_users(["password", "none"], alice="secret", bob="other"), "rules": rules}
        with Relay(config) as relay:
            for user, password, allowed in (("alice", "secret", True), ("bob", "other", False)):
                with relay.client() as client:
                    assert client.log_in(user, password)
                    if allowed:
                        client.connect("127.0.0.1", server.port)
                    else:
                        refused(client, "127.0.0.1", server.port)
            with relay.greeted() as client:
                refused(client, "127.0.0.1", server.port)


def test_rules_for_clients():
    with Server(echo) as server, Relay({"rules": [{"client": "127.0.0.2", "action": "deny"}]}) as relay:
        with relay.greeted(source="127.0.0.3") as client:
            client.connect("127.0.0.1", server.port)
        with relay.greeted(source="127.0.0.2") as client:
            refused(client, "127.0.0.1", server.port)


def test_rules_for_names():
    hosts = {"a.good.test": "127.0.0.1", "good.test": "127.0.0.1", "bad.test": "127.0.0.1"}
    rules = [{"destination": ["*.good.test"], "action": "allow"}, {"action": "deny"}]
    with Server(echo) as server, Relay({"hosts": hosts, "rules": rules}) as relay:
        with relay.greeted() as client:
            client.connect("A.Good.Test.", server.port)
        for host in ("good.test", "bad.test", "127.0.0.1"):
            with relay.greeted() as client:
                refused(client, host, server.port)


def test_a_denied_name_is_not_resolved():
    with Relay({"rules": [{"destination": "*.invalid", "action": "deny"}]}) as relay, relay.greeted() as client:
        refused(client, "nonexistent.invalid", 80)
        assert relay.wait_for_log("event=refused", "denied by a rule")


def test_rules_for_networks_apply_to_names_too():
    rules = [{"destination": "127.0.0.0/30", "action": "deny"}]
    with Server(echo) as server, Relay({"hosts": {"x.test": "127.0.0.1"}, "rules": rules}) as relay:
        with relay.greeted() as client:
            refused(client, "x.test", server.port)


def test_rules_for_ports():
    with Server(echo) as server, Relay({"rules": [{"port": ["1-1023", server.port], "action": "deny"}]}) as relay:
        with relay.greeted() as client:
            refused(client, "127.0.0.1", server.port)
        with relay.greeted() as client:
            refused(client, "127.0.0.1", 22)
