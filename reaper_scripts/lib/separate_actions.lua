-- Separate the selected items: into the stems of a model, or into what the user types and the rest.

local actions = {}

local edits = require("edits")
local folders = require("folders")
local items = require("items")
local jobs = require("jobs")
local json = require("json")
local settings = require("settings")
local stems = require("stems")
local timeline = require("timeline")

local BUILD_MISSING_PEAKS = 40047
local MARGIN_S = 1.0 -- of the source on both sides, so that edges can be drawn out a little

-- Words, with commas or spaces between, as a list.
local function words(text, separators)
  local list = json.array()
  for word in (text or ""):gmatch("[^" .. separators .. "]+") do
    list[#list + 1] = word:match("^%s*(.-)%s*$")
  end
  return list
end

-- The passage of the file that is separated: what sounds, and a margin; of a loop that runs over its end, all of it.
local function passage(target)
  local view = target.view
  local first, last = view.section_start, view.section_start + view.source_length
  target.whole_loop = view.loops and target.start_s <= first + 1e-9 and target.end_s >= last - 1e-9
  if not target.whole_loop then
    first, last = math.max(first, target.start_s - MARGIN_S), math.min(last, target.end_s + MARGIN_S)
  end
  return { first, last }
end

local function lay(target, as)
  local list = {}
  for _, message in ipairs(target.items) do
    list[#list + 1] = { name = message[2][2], path = message[2][3] }
  end
  -- Where the files begin: on a sample, which the asked time need not be.
  target.passage = { target.reply[4] / target.reply[3], target.reply[5] / target.reply[3] }
  if as == "takes" then
    stems.as_takes(target, list)
  else
    stems.on_tracks(target, list)
  end
end

local function separate(title, undo, options)
  local as = settings.get("stem_as")
  local targets, problems = items.selected()
  if #targets == 0 then
    jobs.tell(title, #problems > 0 and table.concat(problems, "\n") or "Select an item with audio first.")
    return
  end
  local taken = {}
  for _, target in ipairs(targets) do
    if as == "takes" then -- a take is as long as its item
      local view = target.view
      target.from, target.to = view.position, view.position + view.length
      target.start_s, target.end_s = timeline.passage(view, target.from, target.to)
    end
    target.passage = passage(target)
    target.folder = folders.new(target.name, taken)
  end
  jobs.run(title, targets, {
    ask = function(target)
      local first, last = table.unpack(target.passage)
      return "/sidechop/separate/file", "sddss", {
        target.path, first, items.end_of(target, last), json.encode(options), target.folder,
      }
    end,
    count = function(reply) return reply[2] end,
    finish = function(done)
      local ready = {}
      for _, target in ipairs(done) do
        if target.problem then
          problems[#problems + 1] = target.name .. ": " .. target.problem
        elseif not items.still_there(target) then
          problems[#problems + 1] = ("%s: was changed in the meantime; its stems are in %s"):format(target.name,
            target.folder)
        else
          ready[#ready + 1] = target
        end
      end
      if #ready > 0 then
        edits.once(undo, function()
          for _, target in ipairs(ready) do
            lay(target, as)
          end
        end)
        reaper.Main_OnCommand(BUILD_MISSING_PEAKS, 0)
      end
      if #problems > 0 then
        jobs.tell(title, table.concat(problems, "\n"))
      end
    end,
  })
end

function actions.separate()
  separate("Separate selected items", "Sidechop: separate selected items", {
    model = settings.get("stem_model"),
    stems = words(settings.get("stem_names"), " ,"),
  })
end

function actions.query()
  local given, text = reaper.GetUserInputs(
    "Sidechop: separate what you type", 2,
    "What to take (commas between),What to leave,extrawidth=240,separator=\n", "\n"
  )
  if not given then
    return
  end
  local take, leave = text:match("^([^\n]*)\n?(.*)$")
  local queries, negatives = words(take, ","), words(leave, ",")
  if #queries == 0 then
    jobs.tell("Query separate", "Type what to take, such as: rain, a barking dog.")
    return
  end
  separate("Query separate", "Sidechop: separate " .. table.concat(queries, ", "), {
    queries = queries,
    ["not"] = negatives,
  })
end

return actions
