-- What is selected: items, the file that each shows, and how.
--
-- A target is {item, take, name, view, path, from, to}, see timeline.lua for the view; `shown` is the view of the take's
-- own source. Where the file alone does not
-- say what is heard (a reversed section, stretch markers, audio inside the project), `render` says why, and the take is
-- written out first, see rendering.lua.

local items = {}

local timeline = require("timeline")

-- What the daemon reads itself, as REAPER names the kinds.
local READ = { WAVE = true, MP3 = true, FLAC = true, VORBIS = true, AIFF = true }

local function name_of(take)
  local _, name = reaper.GetSetMediaItemTakeInfo_String(take, "P_NAME", "", false)
  return name ~= "" and name or "item"
end

function items.guid(item)
  local _, guid = reaper.GetSetMediaItemInfo_String(item, "GUID", "", false)
  return guid
end

-- The source that holds the audio, where in it the take's source begins, how long that is, and whether it is reversed.
local function unwrap(source)
  local start, reversed = 0.0, false
  local length = reaper.GetMediaSourceLength(source)
  while reaper.GetMediaSourceType(source) == "SECTION" do
    local _, offset, _, backwards = reaper.PCM_Source_GetSectionInfo(source)
    start, reversed = start + offset, reversed ~= backwards
    local parent = reaper.GetMediaSourceParent(source)
    if not parent then
      break
    end
    source = parent
  end
  return source, start, length, reversed
end

-- How a take shows its source now.
function items.view(item, take)
  local _, start, length = unwrap(reaper.GetMediaItemTake_Source(take))
  return {
    position = reaper.GetMediaItemInfo_Value(item, "D_POSITION"),
    length = reaper.GetMediaItemInfo_Value(item, "D_LENGTH"),
    offset = reaper.GetMediaItemTakeInfo_Value(take, "D_STARTOFFS"),
    rate = reaper.GetMediaItemTakeInfo_Value(take, "D_PLAYRATE"),
    source_length = length,
    section_start = start,
    loops = reaper.GetMediaItemInfo_Value(item, "B_LOOPSRC") ~= 0,
  }
end

-- How a file shows that holds what the item sounds like from its beginning to its end.
function items.rendered_view(item)
  local length = reaper.GetMediaItemInfo_Value(item, "D_LENGTH")
  local position = reaper.GetMediaItemInfo_Value(item, "D_POSITION")
  return { position = position, length = length, offset = 0.0, rate = 1.0, source_length = length, section_start = 0.0,
    loops = false }
end

-- The time selection, or nil where there is none, or the settings leave it aside.
local function selection()
  if require("settings").get("time_selection") == "no" then
    return nil
  end
  local from, to = reaper.GetSet_LoopTimeRange2(0, false, false, 0, 0, false)
  if to > from then
    return from, to
  end
end

-- An item as a target, or nil and why it is none; false where the time selection leaves it out.
local function target_of(item, first, last)
  local take = reaper.GetActiveTake(item)
  if not take then
    return nil, "an item without audio (empty, or a note)"
  end
  local name = name_of(take)
  if reaper.TakeIsMIDI(take) then
    return nil, name .. ": is MIDI; render it first"
  end
  local source, _, length, reversed = unwrap(reaper.GetMediaItemTake_Source(take))
  local path = reaper.GetMediaSourceFileName(source)
  local target = { item = item, take = take, name = name, path = path, guid = items.guid(item) }
  if reversed then
    target.render = "it is reversed"
  elseif reaper.GetTakeNumStretchMarkers(take) > 0 then
    target.render = "it has stretch markers"
  elseif path == "" or not READ[reaper.GetMediaSourceType(source)] then
    target.render = "its audio is in no file that can be read"
  elseif not reaper.file_exists(path) then
    return nil, name .. ": its file is missing: " .. path
  elseif length <= 0 then
    return nil, name .. ": its source is empty: " .. path
  end
  target.shown = items.view(item, take)
  target.view = target.render and items.rendered_view(item) or target.shown
  target.from, target.to = timeline.clip(target.view, first, last)
  if not target.from then
    return false
  end
  target.file_length = target.render and target.view.length or reaper.GetMediaSourceLength(source)
  target.start_s, target.end_s = timeline.passage(target.view, target.from, target.to)
  if not target.start_s then
    return nil, name .. ": nothing of its source sounds there"
  end
  return target
end

-- The end of a passage as the daemon takes it: 0 for the file's own, of whose length two decoders need not agree.
function items.end_of(target, end_s)
  return end_s > target.file_length - 1e-4 and 0.0 or end_s
end

-- The targets among selected items, and lines about those that are none. An item that the time selection does not touch
-- is left out; where it touches none at all, it does not count.
function items.selected()
  local function read(first, last)
    local targets, problems = {}, {}
    for i = 0, reaper.CountSelectedMediaItems(0) - 1 do
      local target, problem = target_of(reaper.GetSelectedMediaItem(0, i), first, last)
      if target then
        targets[#targets + 1] = target
      elseif problem then
        problems[#problems + 1] = problem
      end
    end
    return targets, problems
  end
  local first, last = selection()
  local targets, problems = read(first, last)
  if first and #targets == 0 and #problems == 0 then
    return read(nil, nil)
  end
  return targets, problems
end

-- Whether a target is still what it was when it was asked about, and its view as it lies now: an item may be moved
-- while Sidechop listens.
function items.still_there(target)
  if not reaper.ValidatePtr2(0, target.item, "MediaItem*") or reaper.GetActiveTake(target.item) ~= target.take then
    return false
  end
  local old, new = target.shown, items.view(target.item, target.take)
  for _, key in ipairs({ "offset", "rate", "section_start", "source_length", "length", "loops" }) do
    if new[key] ~= old[key] then
      return false
    end
  end
  local moved = new.position - old.position
  target.shown, target.view = new, target.render and items.rendered_view(target.item) or new
  target.from, target.to = target.from + moved, target.to + moved
  return true
end

-- The item with a GUID, or nil.
function items.by_guid(guid)
  for i = 0, reaper.CountMediaItems(0) - 1 do
    local item = reaper.GetMediaItem(0, i)
    if items.guid(item) == guid then
      return item
    end
  end
end

return items
