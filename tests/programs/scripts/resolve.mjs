// Asks Node's own DNS client (c-ares) for the addresses of a name. Usage: resolve.mjs NAME
import { resolve4 } from "node:dns/promises";

console.log(await resolve4(process.argv[2]));
