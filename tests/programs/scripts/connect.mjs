// net.connect to each HOST:PORT given, in turn; says a line and prints the line that comes back.
import net from "node:net";

for (const target of process.argv.slice(2)) {
  const [, host, port] = target.match(/^(.*):(\d+)$/);
  await new Promise((resolve, reject) => {
    const socket = net.connect({ host, port: Number(port) }, () => socket.write(`node to ${host}\n`));
    socket.on("error", reject);
    socket.on("data", (octets) => {
      process.stdout.write(octets);
      if (octets.includes("\n")) resolve(socket.destroy());
    });
  });
}
