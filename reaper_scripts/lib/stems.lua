-- Stems of an item: on tracks of their own inside a folder whose parent is the item's own track, so that they play
-- through its effects, fader and sends; or as takes of the item.

local stems = {}

local edits = require("edits")
local items = require("items")
local timeline = require("timeline")

local COLORS = {
  vocals = { 230, 95, 130 },
  drums = { 235, 180, 60 },
  bass = { 95, 130, 235 },
  other = { 110, 190, 140 },
}
local ITEM_VALUES = {
  "D_VOL", "D_FADEINLEN", "D_FADEOUTLEN", "D_FADEINLEN_AUTO", "D_FADEOUTLEN_AUTO", "D_FADEINDIR", "D_FADEOUTDIR",
  "C_FADEINSHAPE", "C_FADEOUTSHAPE", "C_LOCK",
}
local TAKE_VALUES = { "D_VOL", "D_PAN", "D_PANLAW", "D_PLAYRATE", "D_PITCH", "B_PPITCH", "I_PITCHMODE" }

local function color(name)
  local rgb = COLORS[name] or { 170, 140, 220 }
  return edits.color(table.unpack(rgb))
end

local function text(track, key, value)
  local _, found = reaper.GetSetMediaTrackInfo_String(track, key, value or "", value ~= nil)
  return found
end

local function number_of(track)
  return math.tointeger(reaper.GetMediaTrackInfo_Value(track, "IP_TRACKNUMBER"))
end

-- The child of a track that holds its stems of a name, if there is one.
local function find_track(parent, name)
  local wanted = text(parent, "GUID") .. " " .. name
  for i = 0, reaper.CountTracks(0) - 1 do
    local track = reaper.GetTrack(0, i)
    if text(track, "P_EXT:sidechop_stem") == wanted then
      return track
    end
  end
end

-- A new child of a track: after those that it had, as the last of its folder or the first of a new one.
local function add_track(parent, name, after)
  local at = number_of(after) -- counted from one, so it is the place behind
  local depth = reaper.GetMediaTrackInfo_Value(after, "I_FOLDERDEPTH")
  reaper.InsertTrackAtIndex(at, false)
  local track = reaper.GetTrack(0, at)
  if after ~= parent then
    reaper.SetMediaTrackInfo_Value(after, "I_FOLDERDEPTH", 0)
    reaper.SetMediaTrackInfo_Value(track, "I_FOLDERDEPTH", depth)
  elseif depth ~= 1 then
    reaper.SetMediaTrackInfo_Value(parent, "I_FOLDERDEPTH", 1)
    reaper.SetMediaTrackInfo_Value(track, "I_FOLDERDEPTH", depth - 1)
  end
  text(track, "P_NAME", text(parent, "P_NAME"):gsub("^$", "Stems") .. " " .. name)
  text(track, "P_EXT:sidechop_stem", text(parent, "GUID") .. " " .. name)
  reaper.SetMediaTrackInfo_Value(track, "I_CUSTOMCOLOR", color(name))
  return track
end

-- Tracks for stems of these names under a track, by name; those that are there already are used again.
local function tracks_for(parent, names)
  local tracks, after = {}, parent
  for _, name in ipairs(names) do
    local track = find_track(parent, name)
    if not track then
      track = add_track(parent, name, after)
    end
    tracks[name], after = track, track
  end
  return tracks
end

local function copy(get, set, from, to, keys)
  for _, key in ipairs(keys) do
    set(to, key, get(from, key))
  end
end

-- A take of an item that plays a stem as the target's take plays its source.
local function add_take(item, target, stem, from)
  local take = reaper.AddTakeToMediaItem(item)
  reaper.SetMediaItemTake_Source(take, reaper.PCM_Source_CreateFromFile(stem.path))
  if not target.render then
    copy(reaper.GetMediaItemTakeInfo_Value, reaper.SetMediaItemTakeInfo_Value, target.take, take, TAKE_VALUES)
  end
  local offset = timeline.stem_offset(target.view, from, target.passage[1])
  reaper.SetMediaItemTakeInfo_Value(take, "D_STARTOFFS", offset)
  reaper.GetSetMediaItemTakeInfo_String(take, "P_NAME", target.name .. " " .. stem.name, true)
  return take
end

-- The part of an item between two times, as an item: cut out where it is not the whole.
local function part_of(target)
  local item, view = target.item, target.view
  if target.to < view.position + view.length - 1e-7 then
    reaper.SplitMediaItem(item, target.to)
  end
  if target.from > view.position + 1e-7 then
    return reaper.SplitMediaItem(item, target.from)
  end
  return item
end

local function mark(item, guid)
  local _, found = reaper.GetSetMediaItemInfo_String(item, "P_EXT:sidechop_stem_of", guid or "", guid ~= nil)
  return found
end

-- Take away the stems that an item was given before, so that it is not heard twice.
local function remove_old(guid)
  for i = reaper.CountMediaItems(0) - 1, 0, -1 do
    local item = reaper.GetMediaItem(0, i)
    if mark(item) == guid then
      reaper.DeleteTrackMediaItem(reaper.GetMediaItem_Track(item), item)
    end
  end
end

-- Lay stems, {name, path} each, on tracks under the item's own, and mute what they stand for.
function stems.on_tracks(target, list)
  local names = {}
  for i, stem in ipairs(list) do
    names[i] = stem.name
  end
  local tracks = tracks_for(reaper.GetMediaItem_Track(target.item), names)
  local part = part_of(target)
  remove_old(items.guid(part))
  for _, stem in ipairs(list) do
    local item = reaper.AddMediaItemToTrack(tracks[stem.name])
    copy(reaper.GetMediaItemInfo_Value, reaper.SetMediaItemInfo_Value, part, item, ITEM_VALUES)
    reaper.SetMediaItemInfo_Value(item, "D_POSITION", target.from)
    reaper.SetMediaItemInfo_Value(item, "D_LENGTH", target.to - target.from)
    reaper.SetMediaItemInfo_Value(item, "B_LOOPSRC", target.whole_loop and 1 or 0)
    reaper.SetActiveTake(add_take(item, target, stem, target.from))
    mark(item, items.guid(part))
  end
  reaper.SetMediaItemInfo_Value(part, "B_MUTE", 1)
end

-- Add stems as takes; the take that was active stays so. Returns the takes.
function stems.as_takes(target, list)
  local takes = {}
  for _, stem in ipairs(list) do
    local take = add_take(target.item, target, stem, target.view.position)
    reaper.SetMediaItemTakeInfo_Value(take, "I_CUSTOMCOLOR", color(stem.name))
    takes[#takes + 1] = take
  end
  reaper.SetActiveTake(target.take)
  return takes
end

return stems
