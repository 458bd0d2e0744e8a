// Asks Node's own DNS client (c-ares) for the addresses of a name. Usage: resolve.mjs NAME
import { Resolver } from "node:dns/promises";

console.log(await new Resolver({ timeout: 1000, tries: 1 }).resolve4(process.argv[2]));
