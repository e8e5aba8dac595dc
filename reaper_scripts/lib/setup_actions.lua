-- Settings, and the check of the connection.

local actions = {}

local jobs = require("jobs")
local json = require("json")
local program = require("program")
local settings = require("settings")

-- Ask for all settings; what does not fit is named, and asked for again with what was typed.
function actions.settings()
  local labels, texts = {}, {}
  for i, field in ipairs(settings.fields) do
    labels[i], texts[i] = field.label, settings.text(field.key)
  end
  local captions = table.concat(labels, ",") .. ",extrawidth=220,separator=\n"
  while true do
    local given, answer = reaper.GetUserInputs("Sidechop: settings", #labels, captions, table.concat(texts, "\n"))
    if not given then
      return
    end
    local i, problems = 0, {}
    for text in (answer .. "\n"):gmatch("([^\n]*)\n") do
      i = i + 1
      if settings.fields[i] then
        texts[i] = text:match("^%s*(.-)%s*$")
        problems[#problems + 1] = settings.put(settings.fields[i].key, texts[i])
      end
    end
    if #problems == 0 then
      return
    end
    jobs.tell("Settings", table.concat(problems, "\n"))
  end
end

local function report(status, way, note)
  local engine, audio = status.engine, status.audio
  local names = {}
  for i, stem in ipairs(status.stems) do
    names[i] = stem.name
  end
  return table.concat({
    ("Sidechop %s answers on port %d, by %s."):format(status.version, settings.get("port"), way),
    ("Model %s: %s"):format(status.model, table.concat(names, ", ")),
    ("Engine: %s. Audio: %s, %d Hz, blocks of %d."):format(engine.state, audio.state, audio.rate, audio.block),
    status.latency_samples > 0
        and ("Live latency: %d samples, %.1f ms."):format(status.latency_samples,
          1000 * status.latency_samples / audio.rate)
      or "Live latency: known once audio runs.",
    note or audio.state == "lost" and "No live audio comes in: put ReaStream on a track. Files work without." or nil,
  }, "\n")
end

function actions.check()
  local title = "Check connection"
  local link, text, note
  link = jobs.session(title, function() return text == nil end, function()
    jobs.tell(title, text or "ended before an answer came")
  end)
  if not link then
    return
  end
  link:request("/sidechop/status", "", {}, {
    done = function(reply)
      local status, problem = json.decode(reply[1])
      text = status and report(status, link.way.kind, note) or problem
    end,
    error = function(problem)
      text = ("%s\nThe program is called as %q."):format(problem, program.place())
    end,
    progress = function(_, what)
      reaper.Help_Set("Sidechop: " .. what, true)
      note = what:find("^no live audio") and what or note
    end,
  })
end

return actions
