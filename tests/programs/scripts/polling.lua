-- LuaSocket without blocking: whether it is connected, connect() itself is asked, again and again, as many event loops
-- did. Usage: polling.lua PORT HOST…
local socket = require "socket"

local port = tonumber(arg[1])
for i = 2, #arg do
   local tcp = (arg[i]:find ":" and socket.tcp6 or socket.tcp4)()
   tcp:settimeout(0)
   local connected, trouble = tcp:connect(arg[i], port)
   while not connected and trouble ~= "already connected" do
      assert(trouble == "timeout" or trouble:find "already in progress", trouble)
      socket.select(nil, { tcp }, 0.001)
      connected, trouble = tcp:connect(arg[i], port)
   end
   tcp:settimeout(10)
   tcp:send "lua\n"
   print((tcp:receive()))
end
