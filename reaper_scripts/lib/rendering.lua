-- Writing out what a take sounds like, a little at every turn, so that nothing waits for it: a float WAV at the
-- source's rate, from the item's beginning to its end.

local rendering = {}
rendering.__index = rendering

local BLOCK = 4096 -- frames at a time
local TURN_S = 0.015
local HEADER = 58
local MOST = 0xFFFFFFFF -- bytes that a WAV can count

-- The header of a float WAV with a count of frames, as Microsoft's WAVEFORMATEX and a fact chunk.
function rendering.header(rate, channels, frames)
  local bytes = frames * channels * 4
  return "RIFF" .. string.pack("<I4", HEADER - 8 + bytes) .. "WAVE"
    .. "fmt " .. string.pack("<I4I2I2I4I4I2I2I2", 18, 3, channels, rate, rate * channels * 4, channels * 4, 32, 0)
    .. "fact" .. string.pack("<I4I4", 4, frames)
    .. "data" .. string.pack("<I4", bytes)
end

-- Begin. Returns nil and a line where that cannot be.
function rendering.start(target, path)
  local source = reaper.GetMediaItemTake_Source(target.take)
  local self = setmetatable({}, rendering)
  self.rate = math.tointeger(reaper.GetMediaSourceSampleRate(source)) or 0
  if self.rate < 8000 or self.rate > 192000 then
    self.rate = 48000
  end
  self.channels = math.max(1, math.min(2, math.tointeger(reaper.GetMediaSourceNumChannels(source)) or 1))
  self.frames = math.floor(target.view.length * self.rate + 0.5)
  self.path, self.done = path, 0
  if HEADER + self.frames * self.channels * 4 > MOST then
    return nil, "is too long to be written out; split it first"
  end
  local file, problem = io.open(path .. ".part", "wb")
  if not file then
    return nil, ("%s: cannot be written (%s)"):format(path, problem)
  end
  self.file = file
  self.file:write(rendering.header(self.rate, self.channels, self.frames))
  self.accessor = reaper.CreateTakeAudioAccessor(target.take)
  self.start_s = reaper.GetAudioAccessorStartTime(self.accessor)
  self.buffer = reaper.new_array(BLOCK * self.channels)
  return self
end

-- Go on for a moment. Returns whether the file is whole.
function rendering:step()
  local until_s = reaper.time_precise() + TURN_S
  while self.done < self.frames and reaper.time_precise() < until_s do
    local count = math.min(BLOCK, self.frames - self.done)
    self.buffer.clear()
    reaper.GetAudioAccessorSamples(
      self.accessor, self.rate, self.channels, self.start_s + self.done / self.rate, count, self.buffer
    )
    local samples = self.buffer.table(1, count * self.channels)
    for first = 1, #samples, 200 do
      local last = math.min(first + 199, #samples)
      self.file:write(string.pack("<" .. ("f"):rep(last - first + 1), table.unpack(samples, first, last)))
    end
    self.done = self.done + count
  end
  if self.done < self.frames then
    return false
  end
  self:close()
  os.remove(self.path) -- Windows does not rename over a file
  return os.rename(self.path .. ".part", self.path) ~= nil
end

-- How much of it is written, 0 to 1.
function rendering:share()
  return self.done / math.max(1, self.frames)
end

function rendering:close()
  if self.accessor then
    reaper.DestroyAudioAccessor(self.accessor)
    self.accessor = nil
    self.file:close()
  end
end

return rendering
