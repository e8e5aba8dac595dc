-- Chops on the timeline: as markers, take markers, splits or regions; drawn, taken away, marked as locked.

local chops = {}

local edits = require("edits")
local items = require("items")
local timeline = require("timeline")

local function color(chop)
  if chop.locked then
    return edits.color(70, 190, 90)
  end
  return edits.color(235, 150, 40)
end

function chops.label(number, chop)
  return ("chop %d%s (%s %.2f)"):format(number, chop.locked and " locked" or "", chop.kind, chop.score)
end

-- The chops among what a job sent.
function chops.read(messages)
  local list = {}
  for _, message in ipairs(messages) do
    if message[1] == "/sidechop/chop/item" then
      local _, position, stop, score, kind, locked = table.unpack(message[2])
      list[#list + 1] = { position = position, stop = stop, score = score, kind = kind, locked = locked }
    end
  end
  table.sort(list, function(a, b) return a.position < b.position end)
  return list
end

local draw = {}

draw["markers"] = function(record, target)
  for number, chop in ipairs(record.chops) do
    for _, time in ipairs(timeline.times(target.view, chop.position / record.rate, target.from, target.to)) do
      local mark = edits.marker(time, nil, chops.label(number, chop), color(chop))
      table.insert(record.marks, { number = mark, region = false, position = time, chop = number })
    end
  end
end

draw["regions"] = function(record, target)
  for number, chop in ipairs(record.chops) do
    local start, stop = chop.position / record.rate, chop.stop / record.rate
    for _, span in ipairs(timeline.spans(target.view, start, stop, target.from, target.to)) do
      local mark = edits.marker(span[1], span[2], chops.label(number, chop), color(chop))
      table.insert(record.marks, { number = mark, region = true, position = span[1], chop = number })
    end
  end
end

draw["take markers"] = function(record, target)
  for number, chop in ipairs(record.chops) do
    local place = timeline.source_time(target.view, chop.position / record.rate)
    edits.take_marker(target.take, place, chops.label(number, chop), color(chop))
    table.insert(record.sources, { position = place, chop = number })
  end
end

draw["splits"] = function(record, target)
  local times, numbers, first = {}, {}, nil
  for number, chop in ipairs(record.chops) do
    for _, time in ipairs(timeline.times(target.view, chop.position / record.rate, target.from, target.to)) do
      if time > target.view.position + 1e-7 then
        times[#times + 1] = time
        numbers[time] = number
      else
        first = number -- it begins where the item does
      end
    end
  end
  table.sort(times)
  for i, piece in ipairs(edits.split(target.item, times)) do
    local number = i > 1 and numbers[times[i - 1]] or first
    table.insert(record.pieces, { guid = items.guid(piece), chop = number })
    if number and record.chops[number].locked then
      reaper.SetMediaItemInfo_Value(piece, "I_CUSTOMCOLOR", color(record.chops[number]))
    end
  end
end

-- Put a record's chops on the timeline, and note in it what was put there.
function chops.draw(record, target)
  record.marks, record.sources, record.pieces = {}, {}, {}
  if target.render and record.as == "take markers" then
    record.as = "markers" -- a take marker counts in a source that is not heard as it is
  end
  draw[record.as](record, target)
end

-- Take away what `draw` put there. Returns nil, or why it cannot be.
function chops.remove(record)
  for _, mark in ipairs(record.marks or {}) do
    edits.remove_marker(mark)
  end
  local item = items.by_guid(record.guid)
  local take = item and reaper.GetActiveTake(item)
  for _, source in ipairs(take and record.sources or {}) do
    edits.remove_take_marker(take, source.position)
  end
  local pieces = {}
  for _, piece in ipairs(record.pieces or {}) do
    pieces[#pieces + 1] = items.by_guid(piece.guid)
  end
  if #pieces > 1 then
    if #pieces < #record.pieces or not edits.join(pieces) then
      return record.name .. ": its pieces were changed since; undo that, or chop anew"
    end
    reaper.SetMediaItemInfo_Value(pieces[1], "I_CUSTOMCOLOR", record.item_color or 0)
  end
end

-- Show that a chop of a record is locked now, or no longer.
function chops.show_lock(record, number)
  local chop = record.chops[number]
  for _, mark in ipairs(record.marks or {}) do
    if mark.chop == number then
      edits.rename_marker(mark, chops.label(number, chop), color(chop))
    end
  end
  local item = items.by_guid(record.guid)
  for _, source in ipairs(item and record.sources or {}) do
    if source.chop == number then
      edits.rename_take_marker(reaper.GetActiveTake(item), source.position, chops.label(number, chop), color(chop))
    end
  end
  for _, piece in ipairs(record.pieces or {}) do
    local part = piece.chop == number and items.by_guid(piece.guid)
    if part then
      reaper.SetMediaItemInfo_Value(part, "I_CUSTOMCOLOR", chop.locked and color(chop) or record.item_color or 0)
    end
  end
end

return chops
