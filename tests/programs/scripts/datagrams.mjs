// Node's UDP (libuv: sendmmsg, recvmmsg, epoll): ten datagrams to an echo, all at once. Usage: datagrams.mjs PORT HOST
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";

const [port, host] = process.argv.slice(2);
const { address, family } = await lookup(host);
const socket = createSocket(`udp${family}`);
const heard = new Set();
socket.on("message", (message, from) => {
  if (from.address === address) heard.add(message.toString());
  if (heard.size === 10) finish();
});
const finish = () => {
  console.log(`${heard.size} of 10`);
  process.exit();
};
setTimeout(finish, 5000);
for (let number = 0; number < 10; ++number) socket.send(`datagram ${number}`, Number(port), address);
