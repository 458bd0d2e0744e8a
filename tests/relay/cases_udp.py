"""UDP ASSOCIATE: datagrams through the relay, and those that must not get through."""

import contextlib
import os
import resource
import select
import socket
import struct
import threading
import time

from harness import (
    LIST_FEATURES, SIGTERM, PATIENCE, Client, Relay, Skip, needs_ipv6, octets, packed, request, wait_until, with_users,
)  # fmt: skip

ZEROS = "0.0.0.0"
HOSTS = {"hosts": {"v4.test": "127.0.0.1", "v6.test": "::1", "both.test": ["::1", "127.0.0.1"]}}


def header(host, port, rsv=b"\0\0", fragment=0):
    return rsv + bytes([fragment]) + packed(host, port)


def split(datagram):
    """RSV and FRAG, the source's host and port, the payload."""
    kind = datagram[3]
    if kind == 3:
        end = 5 + datagram[4]
        host = datagram[5:end].decode()
    else:
        end = 8 if kind == 1 else 20
        host = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, datagram[4:end])
    return datagram[:3], (host, struct.unpack("!H", datagram[end : end + 2])[0]), datagram[end + 2 :]


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def datagram_socket(host="127.0.0.1", port=0):
    one = socket.socket(family_of(host), socket.SOCK_DGRAM)
    one.settimeout(PATIENCE)
    one.bind((host, port))
    return one


class Echo:
    """Sends each datagram back to where it came from; `seen` are those senders."""

    def __init__(self, host="127.0.0.1", port=0, answer=lambda data: data):
        self.socket = datagram_socket(host, port)
        self.socket.settimeout(None)
        self.host, self.port = self.socket.getsockname()[:2]
        self.seen = []
        self.got = []
        self.answer = answer
        self.woken = os.pipe()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            if self.woken[0] in select.select([self.socket, self.woken[0]], [], [])[0]:
                return
            data, peer = self.socket.recvfrom(65536)
            self.seen.append(peer[:2])
            self.got.append(data)
            self.socket.sendto(self.answer(data), peer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.write(self.woken[1], b".")
        self.thread.join()
        for one in self.woken:
            os.close(one)
        self.socket.close()


class Association:
    """A client with an association. `socket` is where its datagrams come from and to."""

    def __init__(self, relay, host="127.0.0.1", expected=None, source=None, port=None, login=None):
        self.control = Client(port or relay.port, host, source)
        if login:
            assert self.control.log_in(*login)
        else:
            self.control.greet()
        self.socket = datagram_socket(self.control.socket.getsockname()[0])
        if expected is None:
            expected = (ZEROS if family_of(host) == socket.AF_INET else "::", 0)
        elif expected == "own":
            expected = self.socket.getsockname()[:2]
        self.control.send(request(*expected, 3))
        self.reply, self.flag, self.bound = self.control.read_reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control.socket.close()
        self.socket.close()

    def send(self, payload, host, port, **more):
        self.send_raw(header(host, port, **more) + payload)

    def send_raw(self, datagram):
        self.socket.sendto(datagram, self.bound)

    def receive(self):
        """The source's host and port, and the payload."""
        data, peer = self.socket.recvfrom(65536)
        assert peer[:2] == self.bound, (peer, self.bound)
        head, source, payload = split(data)
        assert head == b"\0\0\0", head
        return source, payload

    def exchange(self, payload, echo, name=None):
        self.send(payload, name or echo.host, echo.port)
        source, answer = self.receive()
        assert source == (echo.host, echo.port), source
        assert answer == payload, (len(answer), len(payload))

    def is_silent(self, seconds=0.2):
        return not select.select([self.socket], [], [], seconds)[0]


def associate(relay, **options):
    association = Association(relay, **options)
    assert (association.reply, association.flag) == (0, 0), association.reply
    return association


def dropped(relay, **counts):
    """Waits until the log has told of so many, by reason, since the relay began."""

    def told():
        found = {}
        for line in list(relay.log):
            if "event=dropped" in line:
                for word in line.split():
                    key, _, value = word.partition("=")
                    if key in counts:
                        found[key] = found.get(key, 0) + int(value)
        return found == counts

    wait_until(told, f"{counts} in the log")


# --- datagrams that get through ---------------------------------------------------------------------------------------


def test_echo_over_ipv4_and_ipv6_and_by_name():
    needs_ipv6()
    with Echo() as v4, Echo("::1") as v6, Relay(HOSTS) as relay, associate(relay) as client:
        assert client.bound[0] == "127.0.0.1" and client.bound[1] not in (0, relay.port)
        client.exchange(b"four", v4)
        client.exchange(b"six", v6)
        client.exchange(b"a name", v4, "v4.test")
        client.exchange(b"another", v6, "V6.test.")
        client.exchange(b"mapped", v4, "::ffff:127.0.0.1")


def test_a_name_of_the_resolver():
    """From /etc/hosts, as each machine has it."""
    address = socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)[0][4][0]
    with Echo(address) as echo, Relay() as relay, associate(relay) as client:
        for i in range(5):
            client.exchange(bytes([i]), echo, "localhost")


def test_a_name_that_is_text_of_an_address():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        raw = b"\0\0\0\3\x09127.0.0.1" + struct.pack("!H", echo.port)
        client.send_raw(raw + b"hello")
        assert client.receive() == ((echo.host, echo.port), b"hello")


def test_a_control_connection_over_ipv6():
    needs_ipv6()
    with Echo() as v4, Echo("::1") as v6, Relay({"listen": "[::1]:0"}) as relay:
        for expected in (("::", 0), (ZEROS, 0)):
            with associate(relay, host="::1", expected=expected) as client:
                assert client.bound[0] == "::1"
                client.exchange(b"four", v4)
                client.exchange(b"six", v6)


def test_two_destinations_on_one_association_see_one_source():
    with Echo(answer=lambda data: b"1" + data) as one, Echo(answer=lambda data: b"2" + data) as two:
        with Relay() as relay, associate(relay) as client:
            for i in range(20):
                client.send(bytes([i]), one.host, one.port)
                client.send(bytes([i]), two.host, two.port)
            answers = [client.receive() for _ in range(40)]
            for number, echo in ((b"1", one), (b"2", two)):
                got = [payload for source, payload in answers if source == (echo.host, echo.port)]
                assert got == [number + bytes([i]) for i in range(20)], got
            assert len({*one.seen, *two.seen}) == 1


def test_payloads_of_every_size():
    needs_ipv6()
    with Echo() as v4, Echo("::1") as v6, Relay({**HOSTS, "listen": ["127.0.0.1:0", "[::1]:0"]}) as relay:
        for host, port in zip(("127.0.0.1", "::1"), relay.ports):
            with associate(relay, host=host, port=port) as client:
                for size in (0, 1, 2, 512, 1472, 1473, 8192, 65000):
                    payload = os.urandom(size)
                    client.exchange(payload, v4)
                    client.exchange(payload, v6)
                    client.exchange(payload, v4, "v4.test")


def test_the_longest_datagram():
    """UDP over IPv4 has 65507 octets: ten of them are the header's on the way to the relay, and none beyond it."""
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        client.exchange(os.urandom(65507 - 10), echo)


def test_an_answer_that_is_too_long_with_its_header_is_dropped():
    with Echo(answer=lambda _: bytes(65507 - 9)) as echo, Relay() as relay, associate(relay) as client:
        client.send(b"x", echo.host, echo.port)
        dropped(relay, too_long=1)
        echo.answer = lambda data: data
        client.exchange(b"still there", echo)


def test_a_thousand_datagrams_paced():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        got = []
        for i in range(1000):
            client.send(struct.pack("!I", i) + bytes(508), echo.host, echo.port)
            while len(got) < i - 60:  # as many are under way: the sockets here take no more than some 160
                got.append(client.receive()[1][:4])
        while len(got) < 1000:
            got.append(client.receive()[1][:4])
        assert got == [struct.pack("!I", i) for i in range(1000)]


def test_many_associations_at_once():
    with Echo() as echo, Relay() as relay, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(associate(relay)) for _ in range(50)]
        for i in range(10):
            for number, client in enumerate(clients):
                client.send(bytes([number, i]), echo.host, echo.port)
            for number, client in enumerate(clients):
                assert client.receive() == ((echo.host, echo.port), bytes([number, i]))


def test_datagrams_to_a_name_wait_for_it_in_their_order():
    with Echo() as echo, Relay(HOSTS) as relay, associate(relay) as client:
        for i in range(10):
            client.send(bytes([i]), "v4.test", echo.port)
        assert [client.receive()[1] for _ in range(10)] == [bytes([i]) for i in range(10)]


def test_an_answer_from_another_port_of_the_same_address():
    """A TFTP server does that."""
    with Echo() as echo, datagram_socket() as other, Relay() as relay, associate(relay) as client:
        client.exchange(b"request", echo)
        other.sendto(b"data", echo.seen[0])
        assert client.receive() == (other.getsockname(), b"data")


# --- who may send -----------------------------------------------------------------------------------------------------


def test_a_stranger_is_not_relayed():
    with Echo() as echo, datagram_socket("127.0.0.2") as stranger, datagram_socket() as neighbour:
        with Relay() as relay, associate(relay) as client:
            datagram = header(echo.host, echo.port) + b"stranger"
            stranger.sendto(datagram, client.bound)  # before the client, too
            dropped(relay, stranger=1)
            client.exchange(b"hello", echo)
            for one in (stranger, neighbour):  # another address, and another port of the client's
                one.sendto(datagram, client.bound)
            time.sleep(1)
            stranger.sendto(datagram, client.bound)
            dropped(relay, stranger=4)
            client.exchange(b"hello again", echo)
            assert echo.got == [b"hello", b"hello again"]


def test_the_port_that_the_request_names_is_the_only_one():
    with Echo() as echo, datagram_socket() as neighbour, Relay() as relay:
        for expected in ("own", "unspecified"):
            with associate(relay, expected=expected if expected == "own" else (ZEROS, 9)) as client:
                neighbour.sendto(header(echo.host, echo.port) + b"first", client.bound)
                if expected == "own":
                    client.exchange(b"second", echo)
                else:
                    client.send(b"second", echo.host, echo.port)
                    assert client.is_silent()
        assert echo.got == [b"second"]


def test_an_address_that_is_not_the_clients_is_one_behind_its_nat():
    with Echo() as echo, Relay() as relay:
        for expected in (("192.168.7.7", 1234), ("a.test", 1234), ("2001:db8::1", 1234)):
            with associate(relay, expected=expected) as client:
                client.exchange(b"hello", echo)


def test_what_is_not_sensible_does_not_settle_the_port():
    with Echo() as echo, datagram_socket() as neighbour, Relay() as relay, associate(relay) as client:
        neighbour.sendto(b"", client.bound)
        neighbour.sendto(header(echo.host, echo.port, fragment=1) + b"fragment", client.bound)
        dropped(relay, malformed=1)
        client.exchange(b"hello", echo)


def test_octets_on_the_control_connection_are_ignored():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        client.control.send(os.urandom(100_000))
        client.exchange(b"hello", echo)
        assert client.control.is_silent()


# --- who may answer ---------------------------------------------------------------------------------------------------


def test_nobody_reaches_the_client_unasked():
    with Echo() as echo, datagram_socket("127.0.0.2") as stranger, Relay() as relay, associate(relay) as client:
        client.exchange(b"hello", echo)
        stranger.sendto(b"unasked", echo.seen[0])
        dropped(relay, uninvited=1)
        assert client.is_silent()
        client.send(b"hello", *stranger.getsockname())
        assert stranger.recvfrom(100) == (b"hello", echo.seen[0])
        stranger.sendto(b"asked", echo.seen[0])
        assert client.receive() == (stranger.getsockname(), b"asked")


def test_a_forgotten_destination_may_not_answer_any_more():
    with contextlib.ExitStack() as stack:
        echoes = [stack.enter_context(Echo(f"127.0.0.{i}")) for i in (2, 3, 4)]
        relay = stack.enter_context(Relay({"limits": {"destinations": 2}}))
        client = stack.enter_context(associate(relay))
        for echo in echoes:
            client.exchange(b"hello", echo)
        back = echoes[0].seen[0]
        echoes[0].socket.sendto(b"forgotten", back)
        dropped(relay, uninvited=1)
        echoes[1].socket.sendto(b"remembered", back)
        assert client.receive()[1] == b"remembered"
        client.exchange(b"hello", echoes[0])


# --- what is dropped --------------------------------------------------------------------------------------------------


def test_fragments_are_dropped_and_rsv_is_not_looked_at():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        client.exchange(b"first", echo)
        for fragment in (1, 127, 128, 255):
            client.send(b"fragment", echo.host, echo.port, fragment=fragment)
        client.send(b"rsv", echo.host, echo.port, rsv=b"\xff\x01")
        assert client.receive() == ((echo.host, echo.port), b"rsv")
        assert echo.got == [b"first", b"rsv"]
        client.control.socket.close()
        assert "fragment=4" in relay.wait_for_log("event=closed")


def test_headers_that_are_none():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        client.exchange(b"first", echo)
        whole = header(echo.host, echo.port)
        count = 0
        for good in (whole, header("::1", echo.port), header("a.test", echo.port)):
            for size in range(len(good)):
                client.send_raw(good[:size])
                count += 1
        for kind in (0, 2, 5, 255):
            client.send_raw(whole[:3] + bytes([kind]) + whole[4:] + bytes(300))
            count += 1
        client.send_raw(b"\0\0\0\3\x04a\0bc\0\x50data")  # a NUL in a name
        count += 1
        client.exchange(b"second", echo)
        assert echo.got == [b"first", b"second"]
        wait_until(lambda: any("event=dropped" in line for line in relay.log), "drops in the log")
        time.sleep(1)
        client.send_raw(b"")
        dropped(relay, malformed=count + 1)


def test_drops_are_told_at_most_once_a_second_and_all_in_the_end():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        begun = time.monotonic()
        for _ in range(300):
            client.send_raw(b"")
            time.sleep(0.005)
        client.exchange(b"hello", echo)  # so that none is still under way when the end comes
        seconds = time.monotonic() - begun
        client.control.socket.close()
        line = relay.wait_for_log("event=closed")
        assert "malformed=300" in line, line
        told = sum("event=dropped" in line for line in relay.log)
        assert 1 <= told <= seconds + 1, (told, seconds)


def test_a_destination_that_refuses_disturbs_nobody():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        with datagram_socket() as gone:
            closed = gone.getsockname()
        for _ in range(3):
            client.send(b"to nobody", *closed)
            client.exchange(b"hello", echo)
        assert client.control.is_silent()


def test_destinations_that_cannot_be_sent_to():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        client.send(b"port 0", echo.host, 0)
        client.send(b"broadcast", "255.255.255.255", 9)
        client.exchange(b"hello", echo)
        client.control.socket.close()
        assert "unsent=2" in relay.wait_for_log("event=closed")


def test_destinations_that_are_none():
    hosts = {"zero.test": ["0.0.0.0", "::"], "echo.test": "127.0.0.1"}
    with Echo() as echo, Relay({"hosts": hosts}) as relay, associate(relay) as client:
        for host in (ZEROS, "::", "::ffff:0.0.0.0", "zero.test"):
            client.send(b"nobody", host, 9)
        client.send_raw(b"\0\0\0\3\0\0\x09nobody")  # an empty name
        client.exchange(b"hello", echo, "echo.test")  # so that none is still under way when the end comes
        client.control.socket.close()
        assert "denied=5" in relay.wait_for_log("event=closed")


def test_a_name_without_an_address_is_not_asked_for_again_and_again():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        client.send(b"nowhere", "nonexistent.invalid", 9)
        dropped(relay, unresolved=1)
        for _ in range(29):
            client.send(b"nowhere", "nonexistent.invalid", 9)
            client.exchange(b"hello", echo)
        client.control.socket.close()
        assert "unresolved=30" in relay.wait_for_log("event=closed")


# --- rules, switches and limits ---------------------------------------------------------------------------------------


def test_rules_hold_for_each_destination():
    with Echo() as allowed, Echo() as denied, Echo("127.0.0.2") as other:
        rules = [
            {"destination": "127.0.0.1", "port": denied.port, "action": "deny"},
            {"destination": "bad.test", "action": "deny"},
            {"destination": "127.0.0.1", "action": "allow"},
            {"action": "deny"},
        ]
        hosts = {"good.test": "127.0.0.1", "bad.test": "127.0.0.1", "other.test": "127.0.0.2"}
        with Relay({"rules": rules, "hosts": hosts}) as relay, associate(relay) as client:
            for _ in range(2):
                for host, echo in (
                    ("127.0.0.1", denied), ("good.test", denied), ("bad.test", allowed), ("127.0.0.2", other),
                    ("other.test", other),
                ):  # fmt: skip
                    client.send(b"denied", host, echo.port)
                client.exchange(b"allowed", allowed)
                client.exchange(b"allowed", allowed, "good.test")
            assert client.is_silent()
            assert not denied.got and not other.got and len(allowed.got) == 4
            client.control.socket.close()
            assert "denied=10" in relay.wait_for_log("event=closed")


def test_rules_know_the_user():
    with Echo() as echo:
        rules = [{"user": "alice", "action": "allow"}, {"port": echo.port, "action": "deny"}]
        with Relay({**with_users(alice="secret", bob="secret"), "rules": rules}) as relay:
            with associate(relay, login=("alice", "secret")) as client:
                client.exchange(b"hello", echo)
            with associate(relay, login=("bob", "secret")) as client:
                client.send(b"hello", echo.host, echo.port)
                assert client.is_silent()


def test_without_a_password_there_is_no_association():
    with Relay(with_users(alice="secret")) as relay, relay.client() as client:
        client.expect_no_way_without_password()


def test_who_may_reach_nothing_is_refused():
    with Relay({"rules": [{"action": "deny"}]}) as relay, relay.greeted() as client:
        client.send(request(ZEROS, 0, 3))
        client.expect_refusal(2)


def test_the_own_host_is_guarded():
    needs_ipv6()
    hosts = {"evil.test": "127.0.0.1", "mapped.test": "::ffff:127.0.0.1"}
    with Echo() as v4, Echo("::1", v4.port), Relay({"guard_own_host": True, "hosts": hosts}) as relay:
        with associate(relay) as client:
            ways = (
                "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "evil.test", "mapped.test", "localhost",
                "169.254.1.1", "fe80::1", "224.0.0.251", "ff02::fb", "239.1.2.3",
            )  # fmt: skip
            for _ in range(2):
                for host in ways:
                    client.send(b"denied", host, v4.port)
                time.sleep(0.3)  # for localhost
            assert not v4.got
            client.control.socket.close()
            assert f"denied={2 * len(ways)}" in relay.wait_for_log("event=closed")


def test_a_rule_opens_a_port_of_the_own_host():
    with Echo() as echo, Echo() as other:
        rules = [{"destination": "127.0.0.1", "port": echo.port, "action": "allow"}]
        with Relay({"guard_own_host": True, "rules": rules}) as relay, associate(relay) as client:
            client.send(b"denied", other.host, other.port)
            client.exchange(b"allowed", echo)
            assert not other.got


def test_one_association_does_not_reach_into_another():
    with Echo() as echo, Relay() as relay, associate(relay) as one, associate(relay) as two:
        two.exchange(b"hello", echo)
        one.send(header(echo.host, echo.port) + b"smuggled", *two.bound)
        dropped(relay, stranger=1)
        assert echo.got == [b"hello"]


def test_switched_off_it_is_an_unknown_command():
    with Relay({"features": {"udp": False}}) as relay:
        with relay.greeted() as client:
            client.send(request(ZEROS, 0, 3))
            client.expect_refusal(7)
        with relay.greeted() as client:
            client.send(LIST_FEATURES)
            client.read(10)
            assert [entry[1] for entry in client.read_list() if entry[0] == 4] == [1, 0x10]


def test_it_is_announced_without_any_flag():
    with Relay() as relay, relay.greeted() as client:
        client.send(LIST_FEATURES)
        client.read(10)
        assert (4, 3, b"") in client.read_list()


def test_flags_of_the_request_are_not_granted():
    with Relay() as relay, relay.greeted() as client:
        client.send(request(ZEROS, 0, 3, 0x07))
        assert client.read_reply()[:2] == (0, 0)


def test_address_types_that_are_switched_off():
    needs_ipv6()
    with Echo() as v4, Echo("::1") as v6:
        for off, denied in (("ipv4", "127.0.0.1"), ("ipv6", "::1"), ("names", "v4.test")):
            with Relay({"features": {off: False}, **HOSTS}) as relay, associate(relay) as client:
                client.send(b"denied", denied, v4.port)
                if off != "ipv4":
                    client.exchange(b"hello", v4)
                if off != "ipv6":
                    client.exchange(b"hello", v6)
                dropped(relay, denied=1)


def test_a_name_of_two_families_where_one_is_switched_off():
    with Echo() as echo, Relay({"features": {"ipv6": False}, **HOSTS}) as relay, associate(relay) as client:
        client.exchange(b"hello", echo, "both.test")


def test_associations_of_one_client():
    with Relay({"limits": {"associations": 2}}) as relay, contextlib.ExitStack() as stack:
        first, _ = [stack.enter_context(associate(relay, source="127.0.0.2")) for _ in range(2)]
        with Client(relay.port, source="127.0.0.2") as client:
            client.greet()
            client.send(request(ZEROS, 0, 3))
            client.expect_refusal(1)
        relay.wait_for_log("event=refused", "limits.associations")
        stack.enter_context(associate(relay, source="127.0.0.3"))
        first.control.socket.close()
        wait_until(lambda: is_associated(relay), "room for one more")


def is_associated(relay):
    with Association(relay, source="127.0.0.2") as client:
        return client.reply == 0


def test_an_association_counts_as_a_connection():
    with Relay({"limits": {"connections": 1}}) as relay, associate(relay):
        with Client(relay.port) as client, contextlib.suppress(ConnectionError):
            assert client.socket.recv(1) == b""


def test_an_association_is_no_handshake():
    with Relay({"limits": {"handshakes": 1}, "timeouts": {"handshake": 0.3}}) as relay, Echo() as echo:
        with associate(relay) as first, associate(relay):
            time.sleep(0.6)
            first.exchange(b"hello", echo)


# --- the end ----------------------------------------------------------------------------------------------------------


def is_gone(client, echo):
    """Its port is closed: the kernel refuses."""
    client.socket.connect(client.bound)
    for _ in range(2):
        try:
            client.socket.send(header(echo.host, echo.port) + b"late")
            time.sleep(0.02)
        except ConnectionRefusedError:
            return True
    return False


def test_it_ends_with_its_control_connection():
    with Echo() as echo, Relay() as relay:
        for finish in (
            lambda control: control.close(),
            lambda control: control.shutdown(socket.SHUT_WR),
            lambda control: (control.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)), control.close()),
        ):  # fmt: skip
            before = relay.descriptors()
            with associate(relay) as client:
                client.exchange(b"hello", echo)
                assert relay.descriptors() > before
                begun = time.monotonic()
                finish(client.control.socket)
                wait_until(lambda: is_gone(client, echo), "the port is closed")
                assert time.monotonic() - begun < 1
            wait_until(lambda: relay.descriptors() <= before, "all descriptors are closed")
        assert echo.got == [b"hello"] * 3
        assert "by=eof" in relay.wait_for_log("event=closed")


def test_an_idle_association_ends_and_a_busy_one_does_not():
    with Echo() as echo, Relay({"timeouts": {"udp_idle": 0.6}}) as relay, associate(relay) as client:
        for _ in range(5):
            time.sleep(0.25)
            client.exchange(b"hello", echo)
        begun = time.monotonic()
        client.send_raw(b"nonsense")  # counts for nothing
        client.control.expect_end()
        assert 0.4 < time.monotonic() - begun < 5
        assert is_gone(client, echo)
        assert "by=idle" in relay.wait_for_log("event=closed")


def test_what_comes_back_keeps_it_alive():
    with Echo() as echo, Relay({"timeouts": {"udp_idle": 0.6}}) as relay, associate(relay) as client:
        client.exchange(b"hello", echo)
        for _ in range(5):
            time.sleep(0.25)
            echo.socket.sendto(b"news", echo.seen[0])
            assert client.receive()[1] == b"news"


def test_it_outlives_the_tunnels_idle_time():
    short = {"handshake": 0.2, "held": 0.2, "idle": 0.2, "connect": 0.2, "close": 0.2}
    with Echo() as echo, Relay({"timeouts": {**short, "udp_idle": 0}}) as relay, associate(relay) as client:
        time.sleep(0.7)
        client.exchange(b"hello", echo)


def test_sigterm_lets_it_go_on_until_its_end():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        relay.signal(SIGTERM)
        relay.wait_for_log("event=draining")
        time.sleep(0.2)
        client.exchange(b"still there", echo)
        assert relay.process.poll() is None
        client.control.socket.close()
        assert relay.process.wait(20) == 0


def test_draining_has_an_end():
    with Echo() as echo, Relay({"timeouts": {"drain": 0.4}}) as relay, associate(relay) as client:
        client.exchange(b"hello", echo)
        begun = time.monotonic()
        relay.signal(SIGTERM)
        client.control.expect_end()
        assert relay.process.wait(20) == 0
        assert 0.3 < time.monotonic() - begun < 5
        relay.wait_for_log("event=closed", "by=shutdown")


def test_without_descriptors_it_says_so():
    with Echo() as echo, Relay() as relay, relay.greeted() as control:
        count = relay.descriptors()
        hard = resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE)[1]

        def allow(descriptors):
            resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (descriptors, hard))

        allow(count)
        control.send(request(ZEROS, 0, 3))
        control.expect_refusal(1)
        relay.wait_for_log("event=refused", "Too many open files")
        control.socket.close()
        wait_until(lambda: relay.descriptors() < count, "that connection is closed")
        allow(count + 1)
        with associate(relay) as client:  # a socket for the client, but none for IPv4
            client.send(b"hello", echo.host, echo.port)
            dropped(relay, unsent=1)
            allow(count + 9)
            client.exchange(b"now", echo)


def test_it_costs_nothing_while_nothing_comes():
    with Echo() as echo, Relay() as relay, associate(relay) as client:
        client.exchange(b"hello", echo)
        before = relay.processor_time()
        time.sleep(0.5)
        assert relay.processor_time() - before < 0.1


# --- spoilt for the tests of clients ----------------------------------------------------------------------------------


def spoilt(**test):
    return Relay({"test_behaviour": test, **HOSTS})


def test_bound_to_nowhere():
    for word, zeros in (("unspecified", ZEROS), ("other_family", "::")):
        with Echo() as echo, spoilt(associate_bound=word) as relay, associate(relay) as client:
            assert client.bound[0] == zeros
            client.bound = ("127.0.0.1", client.bound[1])
            client.exchange(b"hello", echo)
    with spoilt(associate_bound="no_port") as relay, associate(relay) as client:
        assert client.bound == ("127.0.0.1", 0)


def test_names_as_sources():
    with Echo() as echo, spoilt(datagram_source="name") as relay, associate(relay) as client:
        client.exchange(b"an address stays one", echo)
        client.send(b"hello", "v4.test", echo.port)
        assert client.receive() == (("v4.test", echo.port), b"hello")


def test_the_client_as_the_source():
    with Echo() as echo, spoilt(datagram_source="client") as relay, associate(relay) as client:
        client.send(b"hello", echo.host, echo.port)
        assert client.receive() == (client.socket.getsockname(), b"hello")
