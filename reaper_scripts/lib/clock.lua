-- Where on the timeline a sample of the daemon's session was heard. Pure.
--
-- The daemon says ten times a second how much it has heard. A message is read late, never early, and the play cursor
-- has gone on meanwhile; so of what was seen lately the smallest difference is the true one, to within a block.

local clock = {}
clock.__index = clock

local REMEMBER = 50 -- messages; 5 s
local JUMP_S = 0.5 -- the cursor was moved, or the audio stood still

function clock.new()
  return setmetatable({ seen = {} }, clock)
end

-- The cursor is at `play_s` while the session has `session_s`.
function clock:note(play_s, session_s)
  local difference = play_s - session_s
  if self.seen[1] and math.abs(difference - self:offset()) > JUMP_S then
    self.seen = {}
  end
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

function clock:forget()
  self.seen = {}
end

return clock
