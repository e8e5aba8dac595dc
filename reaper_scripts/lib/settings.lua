-- What the user chose, kept in REAPER's ext state; and how each choice is read. `read` gives the value, or nil and
-- what is expected.

local settings = {}

local SECTION = "Sidechop"

local function choice(...)
  local words = { ... }
  return function(text)
    for _, word in ipairs(words) do
      if text == word then
        return word
      end
    end
    return nil, "one of " .. table.concat(words, ", ")
  end
end

local function number(low, high, whole)
  return function(text)
    if text == "" then
      return text
    end
    local value = whole and math.tointeger(tonumber(text)) or not whole and tonumber(text)
    if value and value >= low and value <= high then
      return value
    end
    return nil, ("nothing, or %s from %g to %g"):format(whole and "a whole number" or "a number", low, high)
  end
end

local function any(text)
  return text
end

local MODES = choice("chop", "transient", "beat", "downbeat", "phrase", "grid", "equal")

-- In the order in which they are asked for; REAPER asks for at most 16 at a time.
settings.fields = {
  { key = "chop_as", label = "Chops become: markers / take markers / splits / regions", default = "markers",
    read = choice("markers", "take markers", "splits", "regions") },
  { key = "chop_count", label = "Number of chops (empty: as many as sound different)", default = "",
    read = number(1, 4096, true) },
  { key = "chop_mode", label = "Where: chop / transient / beat / downbeat / phrase / grid / equal",
    default = "chop", read = MODES },
  { key = "chop_min_length", label = "Shortest chop in s (empty: usual)", default = "", read = number(0, 60) },
  { key = "flag_as", label = "Flags become: regions / take markers", default = "regions",
    read = choice("regions", "take markers") },
  { key = "flag_cut", label = "What is flagged is: left / muted / removed / closed up", default = "left",
    read = choice("left", "muted", "removed", "closed up") },
  { key = "flag_keep", label = "Share to keep from 0 to 1 (empty: flag what is odd)", default = "",
    read = number(0, 1) },
  { key = "stem_as", label = "Stems become: tracks / takes", default = "tracks", read = choice("tracks", "takes") },
  { key = "stem_names", label = "Only these stems (vocals drums bass other; empty: all)", default = "", read = any },
  { key = "stem_model", label = "Model that separates", default = "auto", read = any },
  { key = "time_selection", label = "Keep to the time selection: yes / no", default = "yes",
    read = choice("yes", "no") },
  { key = "port", label = "Port of the daemon", default = "9190", read = number(1, 65535, true) },
  { key = "token", label = "Its token (empty: none)", default = "", read = any },
  { key = "daemon", label = "Start it with: sidechop live ...", default = "--reastream", read = any },
  { key = "command", label = "Where sidechop is (empty: as installed)", default = "", read = any },
}

local BY_KEY = {}
for _, field in ipairs(settings.fields) do
  BY_KEY[field.key] = field
end

-- The words that are stored for a field.
function settings.text(key)
  return reaper.HasExtState(SECTION, key) and reaper.GetExtState(SECTION, key) or BY_KEY[key].default
end

-- The value of a field; what was stored by another version and does not fit counts as its default.
function settings.get(key)
  local field = BY_KEY[key]
  local value = field.read(settings.text(key))
  if value == nil then
    value = field.read(field.default)
  end
  return value ~= "" and value or nil
end

-- Store words for a field. Returns nil, or what is wrong with them; nothing is stored then.
function settings.put(key, text)
  local field = BY_KEY[key]
  local value, expected = field.read(text)
  if value == nil then
    return ("%s: got %q, expected %s"):format(field.label, text, expected)
  end
  reaper.SetExtState(SECTION, key, text, true)
end

-- What the user gave last where an action asks for it, "" before that; and to keep it.
function settings.last(key)
  return reaper.GetExtState(SECTION, "last_" .. key)
end

function settings.keep(key, text)
  reaper.SetExtState(SECTION, "last_" .. key, text, true)
end

return settings
