-- Datagrams to and from the daemon by a socket, where REAPER's Lua has them: mavriq-lua-sockets from ReaPack, or
-- lua-socket of the system.

local wire = {}
wire.__index = wire

-- Where ReaPack puts mavriq-lua-sockets.
local MAVRIQ = "/Scripts/Mavriq ReaScript Repository/Various/Mavriq-Lua-Sockets/"

local function find_sockets()
  local root = reaper.GetResourcePath() .. MAVRIQ
  local path, cpath = package.path, package.cpath
  package.path = root .. "?.lua;" .. path
  package.cpath = root .. "?.dll;" .. root .. "?.so;" .. cpath
  local found, socket = pcall(require, "socket")
  package.path, package.cpath = path, cpath
  return found and type(socket) == "table" and socket.udp and socket or nil
end

-- A socket to the daemon, or nil where there are none.
function wire.open(port)
  local sockets = find_sockets()
  local udp = sockets and sockets.udp()
  if not udp or not udp:setpeername("127.0.0.1", port) then
    return nil
  end
  udp:settimeout(0)
  return setmetatable({ udp = udp }, wire)
end

function wire:send(packet)
  self.udp:send(packet)
end

-- The packets that came, and whether the system says that nobody listens there.
function wire:pump()
  local packets = {}
  while true do
    local packet, problem = self.udp:receive()
    if not packet then
      return packets, problem ~= "timeout"
    end
    packets[#packets + 1] = packet
  end
end

function wire:close()
  self.udp:close()
end

wire.kind = "a socket"

return wire
