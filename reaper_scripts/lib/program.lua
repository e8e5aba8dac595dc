-- Starting the program `sidechop` from REAPER, which has ExecProcess for that, and finding it.

local program = {}

local settings = require("settings")

-- A word of a command line. REAPER splits at spaces outside of double quotes, and knows no escape for those.
function program.quoted(word)
  assert(not word:find('"', 1, true), "a path with a double quote in it cannot be used")
  return '"' .. word .. '"'
end

-- Where the program is: as the settings say, as `sidechop install reaper` noted beside these files, or by its name.
function program.place()
  local chosen = settings.get("command")
  if chosen then
    return chosen
  end
  local found, where = pcall(require, "where")
  return found and where.command or "sidechop"
end

local RATES = { ["44100"] = true, ["48000"] = true, ["88200"] = true, ["96000"] = true }

-- The words with which a daemon is started; nil for none. One that listens for ReaStream gets the rate and the buffer
-- of REAPER's audio device, unless the settings name others.
function program.daemon_words()
  local words = settings.get("daemon")
  if not words or not words:find("--reastream", 1, true) then
    return words
  end
  local open, rate = reaper.GetAudioDeviceInfo("SRATE", "")
  if open and RATES[rate] and not words:find("--rate", 1, true) then
    words = words .. " --rate " .. rate
  end
  local frames
  open, frames = reaper.GetAudioDeviceInfo("BSIZE", "")
  if open and tonumber(frames) and tonumber(frames) <= 8192 and not words:find("--block", 1, true) then
    words = words .. " --block " .. frames
  end
  return words
end

-- What to say where it is not there.
function program.missing()
  return ("%s cannot be started. Run 'sidechop install reaper', or say where it is in Sidechop's settings."):format(
    program.place()
  )
end

-- Start it with these words, and do not wait. Returns whether the system could.
function program.start(words)
  local line = { program.quoted(program.place()) }
  for _, word in ipairs(words) do
    line[#line + 1] = program.quoted(word)
  end
  return reaper.ExecProcess(table.concat(line, " "), -2) ~= nil
end

return program
