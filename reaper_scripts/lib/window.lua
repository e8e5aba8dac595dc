-- A small window that says how far a job is. It comes only when the job takes its time; to close it is to cancel.

local window = {}
window.__index = window

local AFTER_S = 0.7
local WIDTH, HEIGHT = 420, 72

function window.new(title)
  return setmetatable({ title = title, since_s = reaper.time_precise(), fraction = 0, text = "" }, window)
end

function window:show(fraction, text)
  self.fraction, self.text = fraction, text
end

-- Draw it. Returns false once the user has closed it (or pressed Escape).
function window:turn()
  if not self.open then
    if reaper.time_precise() - self.since_s < AFTER_S then
      return true
    end
    gfx.init(self.title, WIDTH, HEIGHT)
    gfx.setfont(1, "Arial", 14)
    self.open = true
  end
  local key = gfx.getchar()
  if key < 0 or key == 27 then
    self:close()
    return false
  end
  gfx.set(0.16, 0.16, 0.18)
  gfx.rect(0, 0, gfx.w, gfx.h)
  gfx.set(0.35, 0.65, 0.95)
  gfx.rect(12, 40, (gfx.w - 24) * math.max(0, math.min(1, self.fraction)), 14)
  gfx.set(0.9, 0.9, 0.9)
  gfx.x, gfx.y = 12, 14
  gfx.drawstr(("%3.0f%%  %s"):format(100 * self.fraction, self.text))
  gfx.update()
  return true
end

function window:close()
  if self.open then
    gfx.quit()
    self.open = false
  end
end

return window
