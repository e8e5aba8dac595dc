-- Requests to the daemon and their answers, whatever way datagrams take.
--
-- By a socket if there is one and a daemon answers there; else by files and the helper, which starts a daemon. Nothing
-- here waits: `pump` is called from a deferred function.
--
--   local link = Link.open()
--   link:request("/sidechop/chop/file", "sdds", { path, 0.0, 0.0, "{}" }, {
--     item = function(address, values) … end, progress = function(fraction, text) … end,
--     done = function(values) … end, error = function(text) … end })
--   then link:pump() at every turn

local Link = {}
Link.__index = Link

local osc = require("osc")
local post = require("post")
local program = require("program")
local settings = require("settings")
local wire = require("wire")

local ANSWER_S = 30 -- slow requests report every second; a helper that starts on a busy machine takes its time
local SOCKET_S = 0.3
local NOTHING = function() end

-- Returns nil and a line where there is no way at all.
function Link.open()
  local self = setmetatable({}, Link)
  self.next_id, self.requests, self.held, self.events = 1, {}, {}, NOTHING
  self.way = wire.open(settings.get("port"))
  if self.way then
    self.trying_s = reaper.time_precise()
    self.way:send(osc.encode("/sidechop/ping", "i", { 0 }))
    return self
  end
  return Link.by_post(self)
end

function Link:by_post()
  local folder = reaper.GetResourcePath() .. "/Data/Sidechop/mailbox"
  local way, problem = post.open(folder, settings.get("port"), program.daemon_words())
  if self.way then
    self.way:close()
  end
  self.way, self.trying_s = way, nil
  if not way then
    return nil, problem
  end
  self:settle()
  return self
end

-- The way is known: show the token, and send what waits.
function Link:settle()
  self.trying_s = nil
  local token = settings.get("token")
  if token then
    self.way:send(osc.encode("/sidechop/authorise", "is", { 0, token }))
  end
  for _, packet in ipairs(self.held) do
    self.way:send(packet)
  end
  self.held = {}
end

-- Send a request; `heard` has functions for what comes. Returns its id.
function Link:request(address, tags, values, heard)
  local id = self.next_id
  self.next_id = id + 1
  local packet = osc.encode(address, "i" .. tags, { id, table.unpack(values) })
  self.requests[id] = { heard = heard or {}, last_s = reaper.time_precise() }
  if self.trying_s then
    self.held[#self.held + 1] = packet
  else
    self.way:send(packet)
  end
  return id
end

-- Have a job ended; its `error` hears of it.
function Link:cancel(id)
  if self.requests[id] then
    self:request("/sidechop/cancel", "i", { id })
  end
end

local function finish(self, id, name, value)
  local request = self.requests[id]
  self.requests[id] = nil
  local call = request.heard[name]
  if call then
    call(value)
  end
end

local function fail_all(self, text)
  local ids = {}
  for id in pairs(self.requests) do
    ids[#ids + 1] = id
  end
  table.sort(ids)
  for _, id in ipairs(ids) do
    finish(self, id, "error", text)
  end
end

local function hear(self, packet)
  local address, values = osc.decode(packet)
  if not address then
    return
  end
  if address:find("^/sidechop/event/") then
    self.events(address, values)
    return
  end
  if self.trying_s and values[1] == 0 then -- the ping; one that wants a token refuses it and is there all the same
    self:settle()
    return
  end
  local id = table.remove(values, 1)
  local request = self.requests[id]
  if not request then
    if address == "/sidechop/error" and id == 0 then -- the token
      fail_all(self, values[1])
    end
    return
  end
  request.last_s = reaper.time_precise()
  if address == "/sidechop/done" then
    finish(self, id, "done", values)
  elseif address == "/sidechop/error" then
    finish(self, id, "error", values[1])
  elseif address == "/sidechop/progress" then
    (request.heard.progress or NOTHING)(values[1], values[2])
  else
    (request.heard.item or NOTHING)(address, values)
  end
end

-- Hear what came, and give up what nobody answers. Call it at every turn.
function Link:pump()
  local packets, refused = self.way:pump()
  for _, packet in ipairs(packets) do
    hear(self, packet)
  end
  local now = reaper.time_precise()
  if self.trying_s then
    if refused or now - self.trying_s > SOCKET_S then
      local found, problem = self:by_post()
      if not found then
        self.way = { pump = function() return {} end, send = NOTHING, close = NOTHING }
        fail_all(self, problem)
      end
    end
    return
  end
  if refused then
    fail_all(self, "the daemon ended while it was asked: ask again")
  end
  if self.way.problem then
    fail_all(self, self.way.problem)
  end
  for id, request in pairs(self.requests) do
    if now - request.last_s > ANSWER_S then
      finish(self, id, "error", self:silence())
      return
    end
  end
end

function Link:silence()
  if self.way.kind == post.kind then
    return ("no answer for %d s from the helper, which is started as %s. If that is not where sidechop is, run "
      .. "'sidechop install reaper', or say where in Sidechop's settings."):format(ANSWER_S, program.place())
  end
  return ("no answer from port %d for %d s: is that Sidechop?"):format(settings.get("port"), ANSWER_S)
end

function Link:close()
  self.way:close()
end

return Link
