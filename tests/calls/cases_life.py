"""The library in the life of a process: threads, signals, exit, children; and without usable rules."""

from fake_proxy import Script, Stage, for_name, honestly, later, rep, send, silence
from suite import Case

WAY = 300
SLOW = (Script(at={Stage.REQUEST: later(WAY / 1000, honestly)}),)
NEVER = (Script(at={Stage.REQUEST: silence}),)
IDLE = 3200  # milliseconds, after which the worker is gone for sure

IDENTITIES = ("setuid", "seteuid", "setreuid", "setresuid", "setgid", "setegid", "setregid", "setresgid")
WAYS_TO_EXECUTE = (
    "execv",
    "execve, no environment",
    "execvp",
    "execl",
    "fexecve",
    "execveat",
    "syscall(SYS_execve)",
)

CASES = [
    Case(
        "worker / comes, ends when idle, comes again",
        f"process_life worker_ends {{echo}} {IDLE}",
        proxies=SLOW,
        says="""
            threads before: 1
            threads during: 2
            SO_ERROR = 0
            threads after: 1
            SO_ERROR = 0
            echo: the same
            """,
    ),
    # 9 and 19 can't be blocked; 32 and 33 are glibc's own.
    Case(
        "worker / blocks all signals",
        "process_life worker_blocks_signals {silent}",
        proxies=NEVER,
        says="the worker does not block: 9 19 32 33",
    ),
    Case(
        "life / setuid while under way",
        "process_life gives_up_privileges {silent} {echo}",
        proxies=(Script(at={Stage.REQUEST: for_name("192.0.2.66", silence)}),),
    ),
    Case(
        "life / chroot before the first call",
        "process_life changed_before_the_first_call {echo}",
    ),
    Case("life / another user or group before the first call", "process_life changes_identity {echo}"),
    Case(
        "life / another user, and the rules were never to be read",
        "process_life changes_identity {echo}",
        config="",
        environment={"SOCKSIFY_CONFIG": "/nowhere"},
        says="\n".join(f"{call} = 0\nconnect = -1 ENETUNREACH" for call in IDENTITIES),
        stderr=("/nowhere: No such file",) * len(IDENTITIES),
    ),
    Case("worker / leaves signals to the program", "process_life signals_reach_the_program {silent}", proxies=NEVER),
    Case("exit / amid a connect that never ends", "process_life exits_promptly {silent}", proxies=NEVER),
    Case("exit / amid connects that succeed", "process_life exits_amid_success {echo}"),
    Case(
        "life / a thread cancelled in connect",
        "process_life cancelled {silent} {echo}",
        proxies=(Script(at={Stage.REQUEST: for_name("192.0.2.66", silence)}),),
    ),
    Case(
        "life / threads cancelled at any moment of connect and close",
        "process_life cancelled_at_any_moment {silent} {echo}",
        proxies=(Script(at={Stage.REQUEST: for_name("192.0.2.66", silence)}),),
    ),
    # On a busy machine the handlers leave the connect that they interrupt hardly any time.
    Case(
        "life / connect in a signal handler",
        "process_life in_signal_handler {echo}",
        upstream={"connect_timeout": 10, "handshake_timeout": 10},
        seconds=40,
    ),
    Case("life / nothing is left open", "process_life leaves_nothing {echo} {refused}"),
    Case("life / stdin, stdout and stderr closed", "process_life without_standard_descriptors {echo}", proxies=SLOW),
    Case("life / errno is kept", "process_life errno_is_kept {echo}"),
    Case("exec / every way, every environment", "processes exec"),
    Case(
        "exec / after setuid, the environment cleared",
        "processes after_setuid",
        config="",
        environment={"SOCKSIFY_PROXY": "socks5://10.64.1.1:1080"},
    ),
    Case("exec / posix_spawn", "processes spawn"),
    Case("exec / system and popen", "processes shell"),
    Case("exec / what can't be executed", "processes failures"),
    Case(
        "exec / a program that the library can't enter is refused",
        "processes cannot_enter {victims}/static",
        says="\n".join(f"{way}\n{way} = -1 EACCES\n{way}: status 0x100" for way in WAYS_TO_EXECUTE)
        + "\nvfork\nposix_spawn = EACCES\nsystem = 126\n"
        + "a script for it\na script for it = -1 EACCES\na script for it: status 0x100",
        stderr=(
            *[r"/static is not started: it is linked statically, .* let it with a rule: .*/static"] * 9,
            r"/static is not started: it is linked statically",
            "ermission denied",
            r"/static is not started: it is linked statically",
        ),
    ),
    Case(
        "exec / a rule lets such a program run",
        "processes cannot_enter {victims}/static",
        rules={"rules": [{"program": "static", "route": "direct"}]},
    ),
    Case(
        "exec / a rule for some of its destinations is not enough",
        "processes cannot_enter {victims}/static",
        rules={"rules": [{"program": "static", "destination": "*.test", "route": "direct"}]},
        says="\n".join(f"{way}\n{way} = -1 EACCES\n{way}: status 0x100" for way in WAYS_TO_EXECUTE)
        + "\nvfork\nposix_spawn = EACCES\nsystem = 126\n"
        + "a script for it\na script for it = -1 EACCES\na script for it: status 0x100",
        stderr=(r"",) * 12,
    ),
    Case(
        "exec / another machine's program, and one with privileges",
        "processes cannot_enter_either",
        says="""
            another machine's
            another machine's = -1 EACCES
            another machine's: status 0x100
            set-user-ID, of root, by root
            set-user-ID
            set-user-ID = -1 EACCES
            set-user-ID: status 0x100
        """,
        stderr=("no library for its architecture", "privileges of its own"),
    ),
    # --- beside other libraries ---
    *(
        Case(f"beside / {name}, {order} / {what}", victim, preloaded=preloaded, seconds=20)
        for name, other in (
            ("jemalloc", "libjemalloc.so.2"),
            ("tcmalloc", "libtcmalloc_minimal.so.4"),
            ("a library of the same calls", "{victims}/libsecond_preload.so"),
        )
        for order, preloaded in (("before", (other, "{lib}")), ("behind", ("{lib}", other)))
        for what, victim in (
            ("64 threads by name", "many_connects threads_by_name v4.test 7"),
            ("under way", "connect_watched epoll_edge_before {echo} 0"),
            ("fork", "fork_and_exec many_children {echo}"),
            ("exec", "processes exec"),
        )
    ),
    Case(
        "beside / a library of the same calls sees them",
        "dial {echo}",
        preloaded=("{victims}/libsecond_preload.so", "{lib}"),
        environment={"TELL_CONNECTS": "yes"},
        says="203.0.113.80:7: 0\necho: the same\nconnects seen: yes",
    ),
    # --- rules ---
    Case(
        "rules / there are none",
        "dial only:{echo} ~{echo} {echo6}",
        config="",
        says="only:203.0.113.80:7: ENETUNREACH\n~203.0.113.80:7: ENETUNREACH\n[2001:db8:80::80]:7: ENETUNREACH",
        stderr=(r"^socksify\[\d+\] no rules and no proxy: ",),
    ),
    Case(
        "rules / there are none: loopback is open",
        "dial 127.0.0.1:9",
        config="",
        says="127.0.0.1:9: ECONNREFUSED",
        stderr=("no rules",),
    ),
    Case(
        "rules / broken JSON",
        "dial {echo} 127.0.0.1:9",
        config='{"upstreams": {',
        says="203.0.113.80:7: ENETUNREACH\n127.0.0.1:9: ENETUNREACH",
        stderr=(r"^socksify\[\d+\] .*socksify.json:1:",),
    ),
    Case(
        "rules / an unknown key",
        "dial {echo} 127.0.0.1:9",
        config='{"upstreams": {"p": {"url": "socks5://10.64.1.1:1080"}}, "deafult": "p"}',
        says="203.0.113.80:7: ENETUNREACH\n127.0.0.1:9: ENETUNREACH",
        stderr=("did you mean.*default",),
    ),
    Case(
        "rules / the file is not there",
        "dial {echo} 127.0.0.1:9",
        config="",
        environment={"SOCKSIFY_CONFIG": "/nowhere/socksify.json"},
        says="203.0.113.80:7: ENETUNREACH\n127.0.0.1:9: ENETUNREACH",
        stderr=("/nowhere/socksify.json: No such file",),
    ),
    Case(
        "rules / one line, however many connect, in children too",
        "dial {echo} {echo} child {echo}",
        config="",
        says="203.0.113.80:7: ENETUNREACH\n" * 3 + "the child ended with 0",
        stderr=("no rules",),
    ),
    Case(
        "rules / quiet if asked to be",
        "dial {echo}",
        config="",
        environment={"SOCKSIFY_LOG": "off"},
        says="203.0.113.80:7: ENETUNREACH",
    ),
    Case(
        "rules / block",
        "dial {echo}",
        rules={"rules": [{"destination": "*", "route": "block"}]},
        says="203.0.113.80:7: EACCES",
    ),
    Case(
        "rules / direct", "dial {echo} ~{echo}", rules={"rules": [{"destination": "*", "route": "direct"}]}, direct=True
    ),
    Case(
        "rules / loopback by the rules goes to the proxy",
        "dial 127.0.0.1:9",
        rules={"loopback": "rules"},
        proxies=(Script(at={Stage.REQUEST: send(rep(2))}),),
        says="127.0.0.1:9: EACCES",
        sees=("offers 00; connect 127.0.0.1:9",),
    ),
    Case("rules / loopback blocked", "dial 127.0.0.1:9", rules={"loopback": "block"}, says="127.0.0.1:9: EACCES"),
    Case(
        "rules / the log that they ask for",
        "dial {echo}",
        rules={"log": {"level": "info"}},
        proxies=(Script(),),
        says="203.0.113.80:7: 0\necho: the same",
        stderr=("203.0.113.80:7: via", "p0: features not known", "203.0.113.80:7: connected via p0 after "),
    ),
    Case(
        "rules / the environment's word on the log counts more",
        "dial {echo}",
        rules={"log": {"level": "debug"}},
        environment={"SOCKSIFY_LOG": "off"},
        proxies=(Script(),),
        says="203.0.113.80:7: 0\necho: the same",
    ),
    Case(
        "rules / a URL from the environment",
        "dial {echo} ~{echo}",
        config="",
        environment={"SOCKSIFY_PROXY": "socks5://10.64.1.1:1080"},
    ),
    Case("rules / the proxy itself is reached directly", "dial only:10.64.1.1:1080", says="only:10.64.1.1:1080: 0"),
]
