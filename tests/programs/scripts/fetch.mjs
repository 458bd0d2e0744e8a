// Fetches every URL at once with Node's fetch (undici: its own connection pool, address races, HTTP/1.1).
const replies = await Promise.all(process.argv.slice(2).map((url) => fetch(url).then((reply) => reply.text())));
process.stdout.write(replies.join(""));
