"""socksify-relay beside other SOCKS servers: the client is the one that speaks SOCKS itself, and the server tells no more
of each connection than it must. Between client and relay there is no delay. Relay and destination share a processor, but
for what is said in bulk."""

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path

from rows import Figure, Row
from paired import medians, ratios
from scene import CHARGEN, CLIENT_CPU, DESTINATION, DISCARD, ECHO, LOCAL_PROXY, SERVER_CPU, STATE, Failed

TITLE = "socksify-relay beside other servers, over the same without a proxy"
IDLE = 1000


class Server:
    """The command lines, of which the first takes the clients, and the port that it takes them at."""

    def __init__(self, name, port, *command_lines):
        self.name, self.port, self.command_lines = name, port, command_lines

    @property
    def environment(self):
        return {"SOCKS": f"{LOCAL_PROXY}:{self.port}"}


def servers(scene):
    def file(name, text):
        path = STATE / "bench" / name
        path.write_text(text)
        return str(path)

    relay = file(
        "relay.json",
        json.dumps(
            {
                "listen": f"{LOCAL_PROXY}:1081",
                "insecure_open": True,
                "guard_own_host": False,
                "log": {"level": "warning"},
            }
        ),
    )
    danted = file(
        "danted.conf",
        f"""
        logoutput: /dev/null
        internal: {LOCAL_PROXY} port = 1082
        external: socks0
        user.unprivileged: nobody
        clientmethod: none
        socksmethod: none
        client pass {{ from: 0/0 to: 0/0 }}
        socks pass {{ from: 0/0 to: 0/0 }}
        """,
    )
    shadowsocks = ["-m", "chacha20-ietf-poly1305", "-k", "bench", "-s", LOCAL_PROXY, "-p", "8388"]
    return [
        Server("socksify", 1081, [str(scene.build / "src/relay/socksify-relay"), "--config", relay]),
        Server("danted", 1082, ["danted", "-f", danted, "-p", str(STATE / "danted.pid")]),
        Server("microsocks", 1083, ["microsocks", "-i", LOCAL_PROXY, "-p", "1083"]),
        Server(
            "shadowsocks", 1084, ["ss-local", *shadowsocks, "-b", LOCAL_PROXY, "-l", "1084"], ["ss-server", *shadowsocks]
        ),
    ]


def with_descriptors(argv):
    """Not all servers ask for as many descriptors as they may have."""
    return ["sh", "-c", 'ulimit -Sn "$(ulimit -Hn)"; exec "$@"', "sh", *argv]


@contextlib.contextmanager
def running(scene, server):
    """Its processes, for as long as the block takes."""
    with contextlib.ExitStack() as stack:
        processes = []
        for i, command in enumerate(server.command_lines):
            process = stack.enter_context(scene.daemon(scene.here, with_descriptors(command), server.port if i == 0 else 8388))
            processes.append(process)
            stack.callback(end_children, scene, process.pid)
        yield processes


def tree(pid):
    """A process and all that it has started."""
    out = [pid]
    for path in Path("/proc").glob(f"{pid}/task/*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                out += tree(int(child))
    return out


def end_children(scene, pid):
    for child in tree(pid)[1:]:
        with contextlib.suppress(ProcessLookupError):
            scene.here.shell(f"kill -9 {child} 2>/dev/null || true")


def private_kib(processes):
    total = 0
    for process in processes:
        for pid in tree(process.pid):
            with contextlib.suppress(OSError):
                text = open(f"/proc/{pid}/smaps_rollup").read()
                total += int(re.search(r"Private_Dirty: +(\d+)", text)[1])
    return total


def processor_seconds(processes):
    """That the servers have taken so far, those included that they have started and that have ended."""
    ticks = 0
    for process in processes:
        for pid in tree(process.pid):
            with contextlib.suppress(OSError):
                fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_of_idle(scene, server, processes):
    """KiB for each of IDLE connections, beyond what the server had after its first few."""
    scene.client("connects", 50, environment=server.environment)
    before = private_kib(processes)
    argv = ["env", *(f"{key}={value}" for key, value in server.environment.items())]
    argv += [str(scene.build / "bench/bench-client"), "idle", DESTINATION, str(ECHO), str(IDLE)]
    command = scene.local.on(["taskset", "-c", str(CLIENT_CPU), *with_descriptors(argv)])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        try:
            if client.stdout.readline() != b"{}\n":
                raise Failed(client.stderr.read().decode() or "no connections")
            return (private_kib(processes) - before) / IDLE
        finally:
            client.stdin.close()
            client.wait(20)


def beside_the_best(row):
    ours = row.figures.get("socksify", Figure()).value
    best = (max if row.better == "more" else min)((figure.value for figure in row.rivals().values()), default=None)
    return f"{ours / best:.2f} × the best of the others" if ours and best else ""


def measure(scene):
    quick = scene.quick
    all_servers = servers(scene)
    rows = []
    with contextlib.ExitStack() as stack:
        destination = stack.enter_context(
            scene.daemon(scene.here, [str(scene.build / "bench/bench-server"), "0.0.0.0"], ECHO)
        )
        processes = {}
        for server in list(all_servers):
            try:
                processes[server.name] = stack.enter_context(running(scene, server))
            except Exception as why:  # a package that is not here: the others are measured all the same
                print(f"    {server.name} does not start: {why}")
                all_servers.remove(server)

        def over_direct(name, mode, *arguments, rounds, port=ECHO, inverse=True, **options):
            def sample(environment):
                to = (DESTINATION, port)
                return lambda: scene.client(mode, *arguments, environment=environment, to=to, **options)[0]["each"]

            subjects = {"bare": sample({}), **{server.name: sample(server.environment) for server in all_servers}}
            rows.append(Row(name, "× bare", ratios(subjects, "bare", rounds, inverse), better="more"))

        rounds = 5 if quick else 15
        over_direct("connects one after the other", "connects", 300 if quick else 1500, rounds=rounds)
        over_direct("connects, 16 at once", "connects", 300 if quick else 3000, 16, rounds=rounds, cpu=None)
        over_direct("one octet there and back", "pingpong", 1000 if quick else 5000, rounds=rounds)
        # On one processor, relay and destination would take turns, and which is better would be the scheduler's doing.
        for process in (destination, *(one for several in processes.values() for one in several)):
            for pid in tree(process.pid):
                os.sched_setaffinity(pid, range(os.cpu_count() or 1))
        over_direct("bulk upwards", "send", 100 if quick else 300, rounds=rounds, port=DISCARD, cpu=None)
        over_direct("bulk downwards", "receive", 100 if quick else 300, rounds=rounds, port=CHARGEN, cpu=None)
        for row in rows:
            row.digits = 3

        def processor_time(name, mode, count, port=ECHO):
            """In microseconds for each of `count`. A busy machine changes it less than the time on the clock."""

            def sample(server):
                def run():
                    before = processor_seconds(processes[server.name])
                    scene.client(mode, count, environment=server.environment, to=(DESTINATION, port))
                    return (processor_seconds(processes[server.name]) - before) * 1e6 / count

                return run

            subjects = {server.name: sample(server) for server in all_servers}
            rows.append(Row(name, "µs", medians(subjects, 3 if quick else 5), digits=0))

        processor_time("processor time of a connect", "connects", 1000 if quick else 4000)
        processor_time("processor time of a MiB upwards", "send", 300 if quick else 600, DISCARD)
        processor_time("processor time of a MiB downwards", "receive", 300 if quick else 600, CHARGEN)
        for row in rows:
            row.note = beside_the_best(row)

        figures = {}
        for server in all_servers:
            try:
                figures[server.name] = Figure.of([memory_of_idle(scene, server, processes[server.name])])
            except Failed as why:
                figures[server.name] = Figure.none(why)
        rows.append(Row(f"memory of an idle connection, of {IDLE}", "KiB", figures, digits=1))
    return rows
