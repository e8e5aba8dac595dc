-- Flag the selected items: regions or take markers with score, and the cut list that leaves out what was flagged.

local actions = {}

local edits = require("edits")
local items = require("items")
local jobs = require("jobs")
local json = require("json")
local settings = require("settings")
local timeline = require("timeline")

local function options()
  return { keep = settings.get("flag_keep") }
end

function actions.label(kind, score)
  return ("%s %.2f"):format(kind, score)
end

-- Redder, the odder.
function actions.color(score)
  return edits.color(220, math.floor(170 - 130 * math.max(0, math.min(1, score))), 60)
end

-- What a job sent, as flags and as parts to keep; times in seconds of the file.
local function read(target)
  local rate, flags, parts = target.reply[4], {}, {}
  for _, message in ipairs(target.items) do
    local values = message[2]
    if message[1] == "/sidechop/flag/item" then
      flags[#flags + 1] = { start = values[2] / rate, stop = values[3] / rate, score = values[4], kind = values[6] }
    elseif message[1] == "/sidechop/flag/part" then
      parts[#parts + 1] = { values[2] / rate, values[3] / rate }
    end
  end
  return flags, parts
end

local function draw_flags(target, flags, as)
  for _, flag in ipairs(flags) do
    local label, color = actions.label(flag.kind, flag.score), actions.color(flag.score)
    if as == "take markers" and not target.render then
      edits.take_marker(target.take, timeline.source_time(target.view, flag.start), label, color)
    else
      for _, span in ipairs(timeline.spans(target.view, flag.start, flag.stop, target.from, target.to)) do
        edits.marker(span[1], span[2], label, color)
      end
    end
  end
end

-- Where an item sounds of nothing that is kept, as spans of the timeline in order.
function actions.gaps(view, parts, from, to)
  local kept, gaps, at = {}, {}, from
  for _, part in ipairs(parts) do
    for _, span in ipairs(timeline.spans(view, part[1], part[2], from, to)) do
      kept[#kept + 1] = span
    end
  end
  table.sort(kept, function(a, b) return a[1] < b[1] end)
  for _, span in ipairs(kept) do
    if span[1] - at > 1e-6 then
      gaps[#gaps + 1] = { at, span[1] }
    end
    at = math.max(at, span[2])
  end
  if to - at > 1e-6 then
    gaps[#gaps + 1] = { at, to }
  end
  return gaps
end

-- Carry out the cut list on an item: what lies in gaps is muted, or removed, and what follows moved up.
local function cut(target, gaps, how)
  local times = {}
  for _, gap in ipairs(gaps) do
    for _, time in ipairs(gap) do
      if time > target.view.position + 1e-6 and time < target.view.position + target.view.length - 1e-6 then
        times[#times + 1] = time
      end
    end
  end
  local removed = 0
  for _, piece in ipairs(edits.split(target.item, times)) do
    local position = reaper.GetMediaItemInfo_Value(piece, "D_POSITION")
    local length = reaper.GetMediaItemInfo_Value(piece, "D_LENGTH")
    local goes = false
    for _, gap in ipairs(gaps) do
      goes = goes or position + length / 2 > gap[1] and position + length / 2 < gap[2]
    end
    if goes and how == "muted" then
      reaper.SetMediaItemInfo_Value(piece, "B_MUTE", 1)
    elseif goes then
      reaper.DeleteTrackMediaItem(reaper.GetMediaItem_Track(piece), piece)
      removed = removed + length
    elseif how == "closed up" then
      reaper.SetMediaItemInfo_Value(piece, "D_POSITION", position - removed)
    end
  end
end

local function apply(target, as, how)
  if how ~= "closed up" then -- else nothing would lie under them any more
    draw_flags(target, target.flags, as)
  end
  if how ~= "left" then
    cut(target, actions.gaps(target.view, target.parts, target.from, target.to), how)
  end
end

function actions.flag()
  local title = "Flag selected items"
  local targets, problems = items.selected()
  if #targets == 0 then
    jobs.tell(title, #problems > 0 and table.concat(problems, "\n") or "Select an item with audio first.")
    return
  end
  jobs.run(title, targets, {
    ask = function(target)
      return "/sidechop/flag/file", "sdds", {
        target.path, target.start_s, items.end_of(target, target.end_s), json.encode(options()),
      }
    end,
    count = function(reply) return reply[2] + reply[3] end,
    finish = function(done)
      local ready, found = {}, false
      for _, target in ipairs(done) do
        if target.problem then
          problems[#problems + 1] = target.name .. ": " .. target.problem
        elseif not items.still_there(target) then
          problems[#problems + 1] = target.name .. ": was changed in the meantime; flag it again"
        else
          target.flags, target.parts = read(target)
          found = found or #target.flags > 0
          ready[#ready + 1] = target
        end
      end
      if found then
        edits.once("Sidechop: flag selected items", function()
          for _, target in ipairs(ready) do
            apply(target, settings.get("flag_as"), settings.get("flag_cut"))
          end
        end)
      elseif #problems == 0 then
        jobs.tell(title, "Nothing stands out.")
      end
      if #problems > 0 then
        jobs.tell(title, table.concat(problems, "\n"))
      end
    end,
  })
end

return actions
