<?php
// A PHP stream that connects without blocking, and one that waits, whose descriptor changes its flags on the way.
// Usage: async.php HOST:PORT…
foreach (array_slice($argv, 1) as $target) {
    foreach ([STREAM_CLIENT_CONNECT | STREAM_CLIENT_ASYNC_CONNECT, STREAM_CLIENT_CONNECT] as $how) {
        $stream = stream_socket_client("tcp://$target", $number, $words, 10, $how) or die("$words\n");
        [$read, $write, $except] = [[], [$stream], []];
        stream_select($read, $write, $except, 10) or die("nothing happens\n");
        fwrite($stream, "php\n");
        echo fgets($stream);
    }
}
