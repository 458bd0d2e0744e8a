// An HTTP server on the port that is given, on all addresses of both families.
import { createServer } from 'node:http';

createServer((request, response) => response.end('hello from node\n')).listen(Number(process.argv[2]));
