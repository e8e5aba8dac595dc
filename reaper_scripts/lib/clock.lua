-- Where on the timeline a sample of the daemon's session was heard. Pure.
--
-- The daemon says ten times a second how much it has heard. A message is read late, never early, and the play cursor
-- has gone on meanwhile; so of what was seen lately the smallest difference is the true one, to within a block.

local clock = {}
clock.__index = clock

local REMEMBER = 50 -- messages; 5 s
local JUMP_S = 0.5 -- the cursor was moved, or the audio stood still
local STRANGE = 3 -- messages in a row that have to say so: one alone may just be late
local ENOUGH = 5 -- messages before it is believed

function clock.new()
  return setmetatable({ seen = {}, strange = 0 }, clock)
end

-- The cursor is at `play_s` while the session has `session_s`.
function clock:note(play_s, session_s)
  local difference = play_s - session_s
  local later = self.seen[1] and difference - self:offset() or 0
  if later > JUMP_S and self.strange + 1 < STRANGE then
    self.strange = self.strange + 1
    return
  elseif math.abs(later) > JUMP_S then
    self.seen = {}
  end
  self.strange = 0
  table.insert(self.seen, difference)
  if #self.seen > REMEMBER then
    table.remove(self.seen, 1)
  end
end

function clock:offset()
  return math.min(table.unpack(self.seen))
end

-- The time of the timeline; nil before anything was noted.
function clock:time(session_s)
  if self.seen[1] then
    return session_s + self:offset()
  end
end

function clock:is_sure()
  return #self.seen >= ENOUGH
end

function clock:forget()
  self.seen = {}
end

return clock
