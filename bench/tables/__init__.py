"""The tables of scripts/bench, in the order in which they are measured and shown.

A table is a module with TITLE and `measure(scene) -> list[Row]`. A new one goes into this list.
"""

from tables import connects, datagrams, first_octet, instructions, memory, nonblocking, relay, rules, start, streams, trips

TABLES = {
    "trips": trips,
    "first_octet": first_octet,
    "connects": connects,
    "instructions": instructions,
    "nonblocking": nonblocking,
    "streams": streams,
    "datagrams": datagrams,
    "start": start,
    "memory": memory,
    "rules": rules,
    "relay": relay,
}
