#!/usr/bin/env escript
%% Erlang: names by another process (inet_gethost), epoll in threads of its own. Usage: gen_tcp.erl PORT HOST…
main([Port | Hosts]) ->
    Parent = self(),
    Clients = [spawn_link(fun() -> Parent ! {self(), ask(Host, list_to_integer(Port))} end) || Host <- Hosts],
    [receive {Client, Line} -> io:put_chars(Line) end || Client <- Clients].

ask(Host, Port) ->
    Family = case string:find(Host, ":") of nomatch -> inet; _ -> inet6 end,
    {ok, Socket} = gen_tcp:connect(Host, Port, [binary, {packet, line}, {active, true}, Family], 10000),
    ok = gen_tcp:send(Socket, ["erlang to ", Host, "\n"]),
    receive {tcp, Socket, Line} -> Line after 10000 -> "nothing\n" end.
