-- Flags while recording: the daemon hears what is played (through ReaStream, or the plugin) and tells what does not
-- belong; it becomes a region where it was heard. Run the action again to end it.

local actions = {}

local Clock = require("clock")
local edits = require("edits")
local flag_actions = require("flag_actions")
local jobs = require("jobs")

local LEASE_S = 30.0
local UNDO_MARKERS = 8 -- UNDO_STATE_MISCCFG, to which markers belong

-- Show in menus and toolbars whether the action runs.
local function show_state(on)
  local _, _, section, command = reaper.get_action_context()
  reaper.SetToggleCommandState(section, command, on and 1 or 0)
  reaper.RefreshToolbar2(section, command)
end

-- Seconds of the play cursor where it runs and time passes as the audio's; nil otherwise.
local function play_position()
  if reaper.GetPlayState() & 1 == 1 and reaper.Master_GetPlayRate(0) == 1.0 then
    return reaper.GetPlayPosition2()
  end
end

function actions.flags_while_recording()
  local title = "Flags while recording"
  local clock, count, next_lease_s = Clock.new(), 0, 0
  local link, problem, level
  local waiting = {} -- flags, until it is sure where they belong

  local function on_flag(position, stop, flag_rate, score, _, kind)
    local start_s, stop_s = clock:time(position / flag_rate), clock:time(stop / flag_rate)
    if start_s and stop_s > 0 then
      edits.marker(math.max(0, start_s), stop_s, flag_actions.label(kind, score), flag_actions.color(score))
      count = count + 1
    end
  end

  local function fail(text)
    problem = problem or text
  end

  -- Of the messages of a turn the last is the least late.
  local function follow()
    local play_s = play_position()
    if not play_s then
      clock:forget()
      waiting = {}
    elseif level then
      clock:note(play_s, level[1] / level[2])
    end
    level = nil
    if clock:is_sure() then
      for _, flag in ipairs(waiting) do
        on_flag(table.unpack(flag))
      end
      waiting = {}
    end
  end

  local function step()
    follow()
    local now = reaper.time_precise()
    if now >= next_lease_s then
      next_lease_s = now + LEASE_S / 3
      link:request("/sidechop/subscribe", "sf", { "levels", LEASE_S }, { error = fail })
      link:request("/sidechop/subscribe", "sf", { "flags", LEASE_S }, { error = fail })
    end
    return not problem
  end

  link = jobs.session(title, step, function()
    show_state(false)
    if count > 0 then
      reaper.Undo_OnStateChangeEx2(0, "Sidechop: flags while recording", UNDO_MARKERS, -1)
    end
    if problem then
      jobs.tell(title, problem)
    end
  end)
  if not link then
    return
  end
  if reaper.set_action_options then
    reaper.set_action_options(1) -- run again, it ends
  end
  show_state(true)
  link:request("/sidechop/flag/live", "T", { true }, { error = fail })
  link.events = function(address, values)
    if address == "/sidechop/event/levels" then
      level = values
    elseif address == "/sidechop/event/flag" then
      waiting[#waiting + 1] = values
    end
  end
end

return actions
