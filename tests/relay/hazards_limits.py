"""limits: how long, and how many."""

import contextlib
import socket
import time

from ends import NONE, Closed, Far, Relay, connect
from hazards import Place, case, equal

SOON = 5  # seconds; on a machine that is busy


@contextlib.contextmanager
def takes(least: float, most: float = SOON):
    begun = time.monotonic()
    yield
    taken = time.monotonic() - begun
    assert least <= taken <= most, f"{taken:.3f} s, not {least} to {most} s"


@case
def handshake_timeout(place: Place) -> None:
    """a client that says nothing, or half of something, is closed when the handshake's time is over"""
    relay = Relay(place, timeouts={"handshake": 0.4})
    for part in (b"", b"\5", NONE, NONE + connect("192.0.2.1", 80)[:-1]):
        with takes(0.35):
            client = relay.dial()
            client.send(part)
            if part.startswith(NONE):
                client.expect("0500")
            client.expect_closed()
    relay.await_log("too slow")


@case
def trickle(place: Place) -> None:
    """octets that trickle in do not prolong the handshake"""
    client = Relay(place, timeouts={"handshake": 0.5}).dial()
    with takes(0.4), contextlib.suppress(ConnectionError):
        for octet in b"\5\xff" + bytes(200):
            client.send(bytes([octet]))
            time.sleep(0.05)
        raise AssertionError("200 octets were waited for")


@case
def held_timeout(place: Place) -> None:
    """a held connection that is not used is closed, and not before its time"""
    client = Relay(place, timeouts={"handshake": 0.2, "held": 1}).client()
    with takes(0.9):
        client.features()
        client.expect_silence(0.5)
        client.expect_closed()


@case
def tunnel_outlives_handshake(place: Place) -> None:
    """handshake's and held's time do not end a tunnel"""
    relay, far = Relay(place, timeouts={"handshake": 0.5, "held": 0.5}), place.keep(Far())
    client = relay.client()
    client.features()
    client.send(connect(*far.address))
    equal(client.reply()[0], 0, "REP")
    peer = far.accept()
    peer.expect_silence(1)
    client.send(b"still here")
    peer.expect(b"still here")


@case
def idle_timeout(place: Place) -> None:
    """a tunnel through which nothing goes is closed at both ends; one with traffic is not"""
    far = place.keep(Far())
    client, peer = Relay(place, timeouts={"idle": 1}).tunnel(far)
    for _ in range(5):  # longer than 1 s together
        time.sleep(0.3)
        client.send(b".")
        peer.expect(b".")
    with takes(0.5):
        client.expect_closed()
        peer.expect_closed()


@case
def connect_timeout(place: Place) -> None:
    """a destination that does not answer: 04 when connect's time is over"""
    # A full backlog: the kernel drops what comes after.
    listener = place.keep(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(2):
        filler = place.keep(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    client = Relay(place, timeouts={"connect": 0.5}).client()
    with takes(0.4):
        client.expect_refusal(4, connect(*listener.getsockname()))


@case
def close_timeout(place: Place) -> None:
    """a refused client that never closes is let go in the end"""
    closed = place.keep(Closed())
    relay = Relay(place, timeouts={"close": 0.3}, limits={"connections": 1})
    client = relay.client()
    client.expect_refusal(5, connect(*closed.address))
    time.sleep(1)  # while `client` is still open here
    relay.client()


@case
def connections(place: Place) -> None:
    """beyond the most connections one more is closed at once; a place that becomes free is given"""
    relay, far = Relay(place, limits={"connections": 2}), place.keep(Far())
    first, _ = relay.tunnel(far)
    relay.client()
    with takes(0, SOON):
        relay.dial().expect_closed()
    relay.await_log("reached=limits.connections")
    first.reset()
    relay.await_log("event=closed")
    relay.client()


@case
def per_client(place: Place) -> None:
    """beyond a client's most connections one more of it is closed; another client's is not"""
    relay = Relay(place, limits={"per_client": 2})
    relay.client()
    relay.client()
    relay.dial().expect_closed()
    relay.await_log("reached=limits.per_client")
    relay.client("127.0.0.2")


@case
def handshakes(place: Place) -> None:
    """beyond the most handshakes nobody is accepted until one has come to a command, or gone"""
    relay, far = Relay(place, limits={"handshakes": 1}), place.keep(Far())
    for leave in (False, True):
        first, second = relay.client(), relay.dial()
        second.send(NONE)
        second.expect_silence()
        if leave:
            first.close()
        else:
            first.send(connect(*far.address))
            equal(first.reply()[0], 0, "REP")
        second.expect("0500")
        second.close()


@case
def held_is_no_handshake(place: Place) -> None:
    """held connections are no handshakes"""
    relay = Relay(place, limits={"handshakes": 1})
    for _ in range(5):
        client = relay.client()
        client.features()
