-- The stem monitor's picture: where each fader, switch and meter lies, and what a click on it means. Pure.
--
--   ┌ name ┐
--   │ ▮ ║  │   meter and fader, +12 at the top, -60 dB at the bottom
--   │ M S  │
--   └ -3.0 ┘

local faders = {}

faders.TOP_DB, faders.BOTTOM_DB = 12.0, -60.0
faders.SILENT_DB = -120.0
local HEAD, FOOT, EDGE = 26, 52, 8

-- Rectangles {x, y, w, h} of the strips for a window of this size.
function faders.layout(count, width, height)
  local strips = {}
  local w = (width - EDGE) / math.max(1, count)
  for i = 1, count do
    local x = EDGE + (i - 1) * w
    strips[i] = {
      name = { x, 6, w - EDGE, 16 },
      meter = { x, HEAD, 6, height - HEAD - FOOT },
      fader = { x + 10, HEAD, w - EDGE - 10, height - HEAD - FOOT },
      mute = { x, height - FOOT + 6, (w - EDGE) / 2 - 2, 18 },
      solo = { x + (w - EDGE) / 2, height - FOOT + 6, (w - EDGE) / 2 - 2, 18 },
      value = { x, height - 22, w - EDGE, 16 },
    }
  end
  return strips
end

-- The strip and the part of it under a point: a number and "fader", "mute" or "solo"; nil elsewhere.
function faders.hit(strips, x, y)
  for i, strip in ipairs(strips) do
    for _, part in ipairs({ "fader", "mute", "solo" }) do
      local r = strip[part]
      if x >= r[1] and x < r[1] + r[3] and y >= r[2] and y < r[2] + r[4] then
        return i, part
      end
    end
  end
end

-- The height in a rectangle at which a gain stands, and back; the bottom is silence.
function faders.y_of(rectangle, db)
  local share = (math.max(faders.BOTTOM_DB, math.min(faders.TOP_DB, db)) - faders.BOTTOM_DB)
    / (faders.TOP_DB - faders.BOTTOM_DB)
  return rectangle[2] + rectangle[4] * (1 - share)
end

function faders.db_at(rectangle, y)
  local share = 1 - math.max(0, math.min(1, (y - rectangle[2]) / rectangle[4]))
  if share == 0 then
    return faders.SILENT_DB
  end
  return faders.BOTTOM_DB + share * (faders.TOP_DB - faders.BOTTOM_DB)
end

function faders.text(db)
  return db <= faders.BOTTOM_DB and "-inf" or ("%+.1f"):format(db)
end

return faders
