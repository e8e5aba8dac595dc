-- Datagrams to and from the daemon by way of files, for a REAPER whose Lua has no sockets.
--
-- A helper process, `sidechop osc --relay FOLDER`, passes them on. Files hold packets, each after its size as a
-- big-endian int32; they are written aside and renamed, and who has read one removes it.

local post = {}
post.__index = post

local program = require("program")

local ALIVE_S = 2 -- a relay says twice a second that it is there
local AGAIN_S = 8 -- with no sign of it for so long, it is started once more; a second one ends by itself

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local data = file:read("a")
  file:close()
  return data
end

local function write_file(path, data)
  local file, problem = io.open(path .. ".part", "wb")
  if not file then
    return nil, problem
  end
  file:write(data)
  file:close()
  return os.rename(path .. ".part", path)
end

-- Packets of a file's bytes.
function post.unframe(data)
  local packets, at = {}, 1
  while at + 3 <= #data do
    local size = string.unpack(">i4", data, at)
    if size < 0 or at + 3 + size > #data then
      break
    end
    packets[#packets + 1] = data:sub(at + 4, at + 3 + size)
    at = at + 4 + size
  end
  return packets
end

-- A client of the folder. Returns nil and a line where the folder cannot be used.
function post.open(folder, port, daemon_words)
  reaper.RecursiveCreateDirectory(folder, 0)
  local self = setmetatable({}, post)
  self.folder, self.port, self.words = folder, port, daemon_words
  self.name = "c" .. reaper.genGuid(""):gsub("[^%w]", "")
  self.next_out, self.next_in, self.started_s = 1, 1, -math.huge
  self.waiting = {}
  if not write_file(folder .. "/" .. self.name .. ".test", "") then
    return nil, folder .. ": cannot be written; Sidechop talks to its helper through files there"
  end
  os.remove(folder .. "/" .. self.name .. ".test")
  return self
end

local function relay_lives(self)
  local seconds = tonumber(read_file(self.folder .. "/alive") or "")
  return seconds and math.abs(os.time() - seconds) <= ALIVE_S
end

-- See that a relay is there.
local function see_to_relay(self)
  if relay_lives(self) or reaper.time_precise() - self.started_s < AGAIN_S then
    return
  end
  self.started_s = reaper.time_precise()
  local words = { "osc", "--relay", self.folder, "--port", tostring(self.port) }
  if self.words then
    words[#words + 1] = "--start=" .. self.words
  end
  if not program.start(words) then
    self.problem = program.missing()
  end
end

function post:send(packet)
  self.waiting[#self.waiting + 1] = string.pack(">s4", packet)
end

-- Write what was sent since the last time.
local function flush(self)
  if #self.waiting > 0 then
    if write_file(("%s/%s-%d.out"):format(self.folder, self.name, self.next_out), table.concat(self.waiting)) then
      self.next_out, self.waiting = self.next_out + 1, {}
    end
  end
end

-- Write what was sent, and return the packets that came.
function post:pump()
  flush(self)
  see_to_relay(self)
  local packets = {}
  while true do
    local path = ("%s/%s-%d.in"):format(self.folder, self.name, self.next_in)
    local data = read_file(path)
    if not data then
      return packets
    end
    os.remove(path)
    self.next_in = self.next_in + 1
    for _, packet in ipairs(post.unframe(data)) do
      packets[#packets + 1] = packet
    end
  end
end

-- What was sent is still passed on: the last word may be that a job is to end.
function post:close()
  flush(self)
  write_file(("%s/%s.end"):format(self.folder, self.name), "")
end

post.kind = "files and a helper process"

return post
