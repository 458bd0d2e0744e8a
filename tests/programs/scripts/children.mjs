// Runs a command with no environment, as libuv does: fork, its own `environ`, execvp. Usage: children.mjs COMMAND…
import { spawn } from "node:child_process";

const [command, ...rest] = process.argv.slice(2);
spawn(command, rest, { env: {}, stdio: "inherit" }).on("exit", (status) => process.exit(status ?? 1));
