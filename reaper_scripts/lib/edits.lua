-- Edits of the project: every change goes through `edits.once`, which makes it one step of undo.

local edits = {}

function edits.color(red, green, blue)
  return reaper.ColorToNative(red, green, blue) | 0x1000000
end

-- Carry out `change` as one step of undo with this name. What goes wrong inside is told after the step is closed.
function edits.once(name, change)
  reaper.Undo_BeginBlock2(0)
  reaper.PreventUIRefresh(1)
  local ok, problem = pcall(change)
  reaper.PreventUIRefresh(-1)
  reaper.UpdateArrange()
  reaper.Undo_EndBlock2(0, name, -1)
  if not ok then
    error(problem, 0)
  end
end

-- A marker, or a region when it has an end. Returns its number.
function edits.marker(position, stop, name, color)
  return reaper.AddProjectMarker2(0, stop ~= nil, position, stop or 0, name, -1, color)
end

local function find_marker(number, is_region)
  local i = 0
  while true do
    local after, region, position, stop, name, found = reaper.EnumProjectMarkers3(0, i)
    if after == 0 then
      return nil
    elseif region == is_region and found == number then
      return position, stop, name
    end
    i = i + 1
  end
end

-- Remove a marker of ours, unless the user has moved it since.
function edits.remove_marker(mark)
  local position = find_marker(mark.number, mark.region)
  if position and math.abs(position - mark.position) < 1e-6 then
    reaper.DeleteProjectMarker(0, mark.number, mark.region)
  end
end

-- Give a marker of ours another name and colour.
function edits.rename_marker(mark, name, color)
  local position, stop = find_marker(mark.number, mark.region)
  if position then
    reaper.SetProjectMarker4(0, mark.number, mark.region, position, stop, name, color, 0)
  end
end

local function find_take_marker(take, position)
  for i = 0, reaper.GetNumTakeMarkers(take) - 1 do
    if math.abs(reaper.GetTakeMarker(take, i) - position) < 1e-6 then
      return i
    end
  end
end

function edits.take_marker(take, position, name, color)
  reaper.SetTakeMarker(take, -1, name, position, color)
end

-- Remove the take marker at a place of the source.
function edits.remove_take_marker(take, position)
  local i = find_take_marker(take, position)
  if i then
    reaper.DeleteTakeMarker(take, i)
  end
end

function edits.rename_take_marker(take, position, name, color)
  local i = find_take_marker(take, position)
  if i then
    reaper.SetTakeMarker(take, i, name, position, color)
  end
end

-- Cut an item at times of the timeline, in order. Returns all its pieces.
function edits.split(item, times)
  local pieces = { item }
  for _, time in ipairs(times) do
    local right = reaper.SplitMediaItem(pieces[#pieces], time)
    if right then
      pieces[#pieces + 1] = right
    end
  end
  return pieces
end

local FADE_OUT = { "D_FADEOUTLEN", "D_FADEOUTLEN_AUTO", "D_FADEOUTDIR", "C_FADEOUTSHAPE" }

-- Join pieces of one item that lie end to end as they were cut. Returns false, and changes nothing, where they do not.
function edits.join(pieces)
  local function value(item, key)
    return reaper.GetMediaItemInfo_Value(item, key)
  end
  local first, last = pieces[1], pieces[#pieces]
  local function offset(item)
    local take = reaper.GetActiveTake(item)
    local rate = reaper.GetMediaItemTakeInfo_Value(take, "D_PLAYRATE")
    return reaper.GetMediaItemTakeInfo_Value(take, "D_STARTOFFS") - value(item, "D_POSITION") * rate
  end
  local at, slip = value(first, "D_POSITION"), offset(first)
  for _, piece in ipairs(pieces) do
    local same_track = reaper.GetMediaItem_Track(piece) == reaper.GetMediaItem_Track(first)
    local slipped = math.abs(offset(piece) - slip) > 1e-6 and value(first, "B_LOOPSRC") == 0
    if not same_track or slipped or math.abs(value(piece, "D_POSITION") - at) > 1e-6 then
      return false
    end
    at = value(piece, "D_POSITION") + value(piece, "D_LENGTH")
  end
  for _, key in ipairs(FADE_OUT) do
    reaper.SetMediaItemInfo_Value(first, key, value(last, key))
  end
  reaper.SetMediaItemInfo_Value(first, "D_LENGTH", at - value(first, "D_POSITION"))
  for _, piece in ipairs(pieces) do
    if value(piece, "B_UISEL") ~= 0 then
      reaper.SetMediaItemInfo_Value(first, "B_UISEL", 1)
    end
  end
  for i = 2, #pieces do
    reaper.DeleteTrackMediaItem(reaper.GetMediaItem_Track(pieces[i]), pieces[i])
  end
  return true
end

return edits
