"""The delayed link between `prog` and `proxy` (tests/support/delay_link.cpp), and what went over it."""

import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from destinations import HERE
from machine import LabError, Machine
from world import STATE

SOURCE = HERE.parent / "support" / "delay_link.cpp"
_TCP, _FIN, _SYN = 6, 0x01, 0x02


@dataclass(frozen=True)
class Segment:
    """A TCP segment as it entered the link."""

    at: float  # seconds since the epoch
    source_port: int
    target_port: int
    syn: bool
    fin: bool
    payload: int  # octets


class DelayedLink:
    """Makes the interfaces socks0 of `prog` and `proxy` the ends of a cable: `round_trip` milliseconds there and back.

    Goes to Lab(link_to_proxy=…). `program`: the built delay_link; if it is not there, it is compiled for this run.
    """

    def __init__(self, round_trip: float, program: Path):
        self.round_trip = round_trip
        self._program = program if program.exists() else _compile()
        self._trace = STATE / "link.pcap"

    def __call__(self, prog: Machine, proxy: Machine) -> None:
        ends = [str(prog.pid), "socks0", str(proxy.pid), "socks0"]
        self._process = subprocess.Popen(
            [str(self._program), str(self.round_trip), *ends, str(self._trace)], stdout=subprocess.PIPE
        )
        if not self._process.stdout or self._process.stdout.readline() != b"ready\n":
            raise LabError("delay_link does not start")
        for machine in (prog, proxy):
            machine.shell("ip link set socks0 txqueuelen 10000 up")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def segments(self, begin: float, end: float) -> list[Segment]:
        """The TCP segments that entered the link in that time, in either direction."""
        return [segment for segment in _read(self._trace) if begin <= segment.at <= end]


def _compile() -> Path:
    program = STATE / "delay_link"
    command = [os.environ.get("CXX", "c++"), "-std=c++20", "-O2", "-o", str(program), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{SOURCE} does not compile\n{done.stderr}")
    return program


def _read(trace: Path):
    """The TCP segments in a pcap file as delay_link writes it: host order, nanoseconds, bare IP packets."""
    octets = trace.read_bytes()
    at = 24
    while at + 16 <= len(octets):
        seconds, nanoseconds, size, _ = struct.unpack_from("=IIII", octets, at)
        packet = octets[at + 16 : at + 16 + size]
        at += 16 + size
        if segment := _segment(seconds + nanoseconds / 1e9, packet):
            yield segment


def _segment(at: float, packet: bytes) -> Segment | None:
    if packet[0] >> 4 == 4:
        protocol, header, total = packet[9], (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
    else:
        protocol, header, total = packet[6], 40, 40 + int.from_bytes(packet[4:6], "big")
    if protocol != _TCP:
        return None
    source, target = struct.unpack_from("!HH", packet, header)
    offset, flags = (packet[header + 12] >> 4) * 4, packet[header + 13]
    return Segment(at, source, target, bool(flags & _SYN), bool(flags & _FIN), total - header - offset)
