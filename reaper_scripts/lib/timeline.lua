-- Where a sample of a file is heard on the timeline. Pure: seconds in, seconds out.
--
-- A view describes how an item shows its source:
--   position, length   of the item on the timeline
--   offset, rate       of the take: what it begins with, and seconds of source a second
--   source_length      of the source, which is the section's where the source is one
--   section_start      where that source begins in the file
--   loops              whether it begins again at its end
--
--   file    0 ─────┬────────section──────────┬─────
--   source         0 ──offset┬───────────────┤ 0 ──── (looped)
--   item                     └────length × rate────┘
--
-- All is float64: a sample at 192 kHz is 5e-6 s, the arithmetic is off by less than 1e-9 s after a day.

local timeline = {}

local NEAR = 1e-7 -- seconds; less than a fiftieth of a sample at 192 kHz

-- Seconds of source, counted through all repeats, that sound from one time of the timeline to another.
local function unrolled(view, from, to)
  local function source(time)
    return view.offset + (time - view.position) * view.rate
  end
  local first, last = source(from), source(to)
  if not view.loops then
    first, last = math.max(first, 0), math.min(last, view.source_length)
  end
  return first, last
end

-- The part of an item that lies in a selection; nil if none does.
function timeline.clip(view, from, to)
  local first = math.max(view.position, from or -math.huge)
  local last = math.min(view.position + view.length, to or math.huge)
  if last - first > NEAR then
    return first, last
  end
end

-- The one passage of the file, start and end in its seconds, that holds all that is heard between two times; nil if
-- nothing is. A passage that runs over the end of a looped source is the whole source.
function timeline.passage(view, from, to)
  local first, last = unrolled(view, from, to)
  if last - first <= NEAR then
    return nil
  end
  local length = view.source_length
  if view.loops then
    local turn = math.floor(first / length + NEAR)
    first, last = first - turn * length, last - turn * length
    if last > length + NEAR then
      first, last = 0, length
    end
  end
  return view.section_start + math.max(first, 0), view.section_start + math.min(last, length)
end

-- Every time between two at which a place of the file is heard, in order: once, or once a repeat.
function timeline.times(view, file_s, from, to)
  local source = file_s - view.section_start
  local first, last = unrolled(view, from, to)
  local times = {}
  if source < -NEAR or source > view.source_length + NEAR then
    return times
  end
  local turn = view.loops and math.ceil((first - source) / view.source_length - NEAR) or 0
  while source + turn * view.source_length < last - NEAR do
    local place = source + turn * view.source_length
    if place > first - NEAR * view.rate then
      times[#times + 1] = math.max(from, view.position + (place - view.offset) / view.rate)
    end
    if not view.loops then
      break
    end
    turn = turn + 1
  end
  return times
end

-- Every stretch between two times, as {start, stop}, in which a passage of the file is heard, cut where they cut it.
function timeline.spans(view, start_s, end_s, from, to)
  local start, stop = start_s - view.section_start, end_s - view.section_start
  local first, last = unrolled(view, from, to)
  local spans = {}
  local turn = view.loops and math.floor((first - stop) / view.source_length) or 0
  repeat
    local a = math.max(start + turn * view.source_length, first)
    local b = math.min(stop + turn * view.source_length, last)
    if b - a > NEAR then
      spans[#spans + 1] = {
        math.max(from, view.position + (a - view.offset) / view.rate),
        math.min(to, view.position + (b - view.offset) / view.rate),
      }
    end
    turn = turn + 1
  until not view.loops or start + turn * view.source_length >= last
  return spans
end

-- A place of the file as a take marker counts it: from the start of the take's source.
function timeline.source_time(view, file_s)
  return file_s - view.section_start
end

-- The offset of a take whose file holds but a passage of the source, in an item that begins at `from`. Of a looped
-- source the passage is all of it, or lies within one repeat.
function timeline.stem_offset(view, from, passage_start_s)
  local first = view.offset + (from - view.position) * view.rate
  if view.loops then
    first = first - math.floor(first / view.source_length + NEAR) * view.source_length
  end
  return first - (passage_start_s - view.section_start)
end

return timeline
