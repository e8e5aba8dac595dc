-- The stem monitor: a window with a fader, a mute and a solo for each stem of what is being played.
-- Drag a fader, double-click it for 0 dB; close the window or press Escape to end.

local monitor = {}

local faders = require("faders")
local jobs = require("jobs")
local json = require("json")

local LEASE_S = 10.0
local STATUS_S = 1.0
local DOUBLE_S = 0.3

local function fill(rectangle, red, green, blue)
  gfx.set(red, green, blue)
  gfx.rect(table.unpack(rectangle))
end

local function write(rectangle, text)
  gfx.set(0.9, 0.9, 0.9)
  gfx.x, gfx.y = rectangle[1], rectangle[2]
  gfx.drawstr(text)
end

local function draw_strip(strip, stem, level)
  write(strip.name, stem.name)
  fill(strip.meter, 0.1, 0.1, 0.1)
  local top = faders.y_of(strip.meter, level)
  local x, y, w, h = table.unpack(strip.meter)
  fill({ x, top, w, y + h - top }, 0.3, 0.8, 0.4)
  fill(strip.fader, 0.2, 0.2, 0.23)
  local knob = faders.y_of(strip.fader, stem.gain_db)
  fill({ strip.fader[1], knob - 3, strip.fader[3], 6 }, 0.85, 0.85, 0.85)
  fill(strip.mute, stem.mute and 0.85 or 0.3, 0.3, 0.3)
  write(strip.mute, "M")
  fill(strip.solo, stem.solo and 0.85 or 0.3, stem.solo and 0.75 or 0.3, 0.3)
  write(strip.solo, "S")
  write(strip.value, faders.text(stem.gain_db))
end

-- What the mouse does: returns nothing, and asks `send` for what follows.
local function mouse(state, strips, send)
  local down, now = gfx.mouse_cap & 1 == 1, reaper.time_precise()
  if down and not state.down then
    local i, part = faders.hit(strips, gfx.mouse_x, gfx.mouse_y)
    local stem = i and state.stems[i]
    if part == "fader" and now - (state.clicked_s or -1) < DOUBLE_S then
      send("gain", stem, 0.0)
    elseif part == "fader" then
      state.drag = i
    elseif part then
      send(part, stem, not stem[part])
    end
    state.clicked_s = now
  elseif down and state.drag and state.stems[state.drag] and gfx.mouse_y ~= state.dragged_y then
    send("gain", state.stems[state.drag], faders.db_at(strips[state.drag].fader, gfx.mouse_y))
  elseif not down then
    state.drag = nil
  end
  state.down, state.dragged_y = down, gfx.mouse_y
end

function monitor.open()
  local title = "Stem monitor"
  local state = { stems = {}, levels = {} }
  local link, problem
  local next_lease_s, next_status_s = 0, 0
  local changes = 0

  local function fail(text)
    problem = problem or text
  end

  local function send(what, stem, value)
    changes = changes + 1
    if what == "gain" then
      stem.gain_db = value
      link:request("/sidechop/stem/gain", "sf", { stem.name, value }, { error = fail })
    else
      stem[what] = value
      link:request("/sidechop/stem/" .. what, "sT", { stem.name, value }, { error = fail })
    end
  end

  local function ask(now)
    if now >= next_lease_s then
      next_lease_s = now + LEASE_S / 2
      link:request("/sidechop/subscribe", "sf", { "levels", LEASE_S }, { error = fail })
    end
    if now >= next_status_s and not state.down then
      next_status_s = now + STATUS_S
      local known = changes
      link:request("/sidechop/status", "", {}, {
        done = function(reply)
          local status = json.decode(reply[1])
          if status and changes == known then -- else it may tell what was before the last of them
            state.stems, state.about = status.stems, status
          end
        end,
        error = fail,
        progress = function(_, text) state.text = text end,
      })
    end
  end

  local function draw()
    fill({ 0, 0, gfx.w, gfx.h }, 0.13, 0.13, 0.15)
    if #state.stems == 0 then
      write({ 12, 12 }, state.text or "asking Sidechop …")
    end
    local strips = faders.layout(#state.stems, gfx.w, gfx.h)
    for i, stem in ipairs(state.stems) do
      draw_strip(strips[i], stem, state.levels[stem.name] or faders.SILENT_DB)
    end
    return strips
  end

  local function step()
    local key = gfx.getchar()
    if problem or key < 0 or key == 27 then
      return false
    end
    ask(reaper.time_precise())
    mouse(state, draw(), send)
    gfx.update()
    return true
  end

  link = jobs.session(title, step, function()
    gfx.quit()
    if problem then
      jobs.tell(title, problem)
    end
  end)
  if link then
    gfx.init("Sidechop: stem monitor", 360, 320)
    gfx.setfont(1, "Arial", 14)
    link.events = function(address, values)
      if address == "/sidechop/event/levels" then
        for i = 3, #values - 1, 2 do
          state.levels[values[i]] = values[i + 1]
        end
      end
    end
  end
end

return monitor
