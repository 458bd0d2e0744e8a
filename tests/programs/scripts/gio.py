"""GLib's GSocketClient: a resolver in threads, non-blocking connects, GMainContext's poll. Usage: gio.py PORT HOST…

All at once; prints what comes back from an echo, one line for each host, in their order.
"""

import sys

from gi.repository import Gio, GLib

loop = GLib.MainLoop()
port, hosts = int(sys.argv[1]), sys.argv[2:]
heard: dict[str, str] = {}


def connected(client, result, host):
    stream = client.connect_to_host_finish(result)
    stream.get_output_stream().write_all(f"gio to {host}\n".encode())
    lines = Gio.DataInputStream.new(stream.get_input_stream())
    lines.read_line_async(GLib.PRIORITY_DEFAULT, None, read, (host, stream))


def read(lines, result, context):
    host, stream = context
    heard[host], _ = lines.read_line_finish_utf8(result)
    stream.close()
    if len(heard) == len(hosts):
        loop.quit()


for host in hosts:
    Gio.SocketClient().connect_to_host_async(host, port, None, connected, host)
GLib.timeout_add_seconds(10, loop.quit)
loop.run()
print(*(heard.get(host, "nothing") for host in hosts), sep="\n")
