-- Run the selected items through a chain: each is written out as it sounds, all go through together, and what comes out
-- becomes a take of its item, or tracks under it where the chain writes several files.

local actions = {}

local edits = require("edits")
local folders = require("folders")
local items = require("items")
local jobs = require("jobs")
local json = require("json")
local settings = require("settings")
local stems = require("stems")
local window = require("window")

local TITLE = "Run selected items through a chain"
local BUILD_MISSING_PEAKS = 40047
local ENDINGS = { wav = true, flac = true, mp3 = true, ogg = true, aif = true, aiff = true, opus = true, m4a = true }
local SHOWN = 100 -- letters of names that fit into the dialog

-- The last part of a path, without what it ends in if that says what kind of file it is.
local function base_name(path)
  local name = path:match("([^/\\]*)$")
  local base, ending = name:match("^(.+)%.(%w+)$")
  return base and (ENDINGS[ending:lower()] or ending == "toml") and base or name
end

local function is_path(name)
  return name:find("[/\\]") or name:find("%.toml$")
end

-- What is wrong with a name that was typed, or nil.
local function trouble(name, chains)
  if name == "" then
    return "Type the name of a chain."
  elseif is_path(name) then
    local known = name:sub(1, 1) == "~" or reaper.file_exists(name)
    return not known and name .. ": no such chain; give its whole path" or nil
  end
  local names = {}
  for i, chain in ipairs(chains) do
    if chain.name == name then
      return chain.problem ~= "" and ("%s: %s"):format(name, chain.problem) or nil
    end
    names[i] = chain.name
  end
  return ("no chain is named '%s'; there %s"):format(name,
    #names > 0 and "are: " .. table.concat(names, ", ") or "are none, but a path will do")
end

-- The name of a chain from the user, or nil.
local function ask_name(chains)
  local names, first = {}, ""
  for i, chain in ipairs(chains) do
    names[i] = chain.name:gsub("[,\n]", " ")
    if first == "" and chain.problem == "" then
      first = chain.name
    end
  end
  local label = "Chain: " .. (#names > 0 and table.concat(names, " / ") or "its path (none has a name)")
  if utf8.len(label) and utf8.len(label) > SHOWN then
    label = label:sub(1, utf8.offset(label, SHOWN) - 1) .. " ..."
  end
  local name = settings.last("chain")
  name = name ~= "" and name or first
  while true do
    local given, text = reaper.GetUserInputs("Sidechop: run items through a chain", 1,
      label .. ",extrawidth=240,separator=\n", name)
    if not given then
      return nil
    end
    name = text:match("^%s*(.-)%s*$")
    local problem = trouble(name, chains)
    if not problem then
      settings.keep("chain", name)
      return name
    end
    jobs.tell(TITLE, problem)
  end
end

-- A file name in REAPER's own folder that is free, and kept from now on; nil and why where nothing can be written.
local function reserve(name, ending, taken)
  local folder = reaper.GetResourcePath() .. "/Data/Sidechop/rendered"
  reaper.RecursiveCreateDirectory(folder, 0)
  name = base_name(folders.plain(name)):gsub("^[.%s]+", "")
  name = name ~= "" and name or "item"
  local free, number = name, 1
  while taken[free:lower()] or reaper.file_exists(("%s/%s.%s"):format(folder, free, ending)) do
    number = number + 1
    free = ("%s %d"):format(name, number)
  end
  taken[free:lower()] = true
  local path = ("%s/%s.%s"):format(folder, free, ending)
  local file, problem = io.open(path, "wb")
  if not file then
    return nil, problem
  end
  file:close()
  return path
end

-- Whether a take plays its source over its end, so that its item has to loop.
local function repeats(view)
  return view.loops and (view.offset < 0 or view.offset + view.length * view.rate > view.source_length + 1e-4)
end

-- What the manifest says came of each source: its outputs, by its path.
local function read_manifest(folder)
  local found = {}
  local file = io.open(folder .. "/sidechop-batch.jsonl", "rb")
  if file then
    for line in file:lines() do
      local entry = json.decode(line)
      if type(entry) == "table" and entry.source then
        found[entry.source] = entry.outputs or {}
      end
    end
    file:close()
  end
  return found
end

-- The audio that came of a file, {name, path} each; and how many slices are among it, which have no place of their own.
local function results(result, manifest, folder, label)
  if result.outputs == 1 and result.output:find("%.%w+$") and ENDINGS[result.output:match("%.(%w+)$"):lower()] then
    return { { name = label, path = result.output } }, 0
  end
  local list, slices = {}, 0
  for _, output in ipairs(manifest[result.source] or {}) do
    if output.slice then
      slices = slices + 1
    elseif output.frames then
      list[#list + 1] = { name = output.stem or label, path = folder .. "/" .. output.path }
    end
  end
  return list, slices
end

local function lay(target)
  if #target.list > 1 then
    stems.on_tracks(target, target.list)
    return
  end
  local takes = stems.as_takes(target, target.list)
  local length = reaper.GetMediaSourceLength(reaper.GetMediaItemTake_Source(takes[1]))
  if length < target.view.length - 1e-3 and not repeats(target.shown) then
    reaper.SetMediaItemInfo_Value(target.item, "B_LOOPSRC", 0) -- it ends, and does not begin again
  end
  reaper.SetActiveTake(takes[1])
end

-- What became of each target: lays those that are done, and tells of the others.
local function finish(targets, all, folder, label, problems)
  local by_index, ready = {}, {}
  for _, message in ipairs(all.items or {}) do
    local index, source, status, output, outputs, text = table.unpack(message[2])
    by_index[index + 1] = { source = source, status = status, output = output, outputs = outputs, text = text }
  end
  local function tell(target, text)
    problems[#problems + 1] = target.name .. ": " .. text
  end
  if all.problem then
    problems[#problems + 1] = all.problem
  end
  local manifest = read_manifest(folder)
  for _, target in ipairs(targets) do
    local result = by_index[target.index]
    if target.problem then
      if target.problem ~= all.problem then -- what concerns all is told once
        tell(target, target.problem)
      end
    elseif result and result.status == "failed" then
      tell(target, result.text)
    elseif result then
      local slices
      target.list, slices = results(result, manifest, folder, label)
      if not items.still_there(target) then
        tell(target, "was changed in the meantime; what came out is in " .. folder)
      elseif #target.list > 0 then
        ready[#ready + 1] = target
      end
      if slices > 0 then
        tell(target, ("%d slices are in %s"):format(slices, folder))
      elseif #target.list == 0 then
        tell(target, "no audio came out; what was written is in " .. folder)
      end
    end
  end
  if #ready > 0 then
    edits.once("Sidechop: run items through " .. label, function()
      for _, target in ipairs(ready) do
        lay(target)
      end
    end)
    reaper.Main_OnCommand(BUILD_MISSING_PEAKS, 0)
  end
  if #problems > 0 then
    jobs.tell(TITLE, table.concat(problems, "\n"))
  end
end

-- Have an item written out from its beginning to its end, for the chain to hear what it plays.
local function prepare(target, taken)
  target.render = target.render or "a chain hears the item, not its file"
  target.view = items.rendered_view(target.item)
  target.from, target.to = target.view.position, target.view.position + target.view.length
  target.passage = { 0, target.view.length }
  target.render_path, target.problem = reserve(target.name, "wav", taken)
  if not target.render_path then
    target.render = nil
  end
end

local function run(chain, targets, problems)
  local label, taken = base_name(chain), {}
  local folder = folders.new(label, {})
  local written = {}
  for _, target in ipairs(targets) do
    prepare(target, taken)
    written[#written + 1] = target.render_path
  end
  local all = { name = label, weight = #targets }
  local function ask_all()
    local paths = {}
    for _, target in ipairs(targets) do
      if not target.problem then
        paths[#paths + 1] = target.path
        target.index = #paths
      end
    end
    if #paths == 0 then
      return nil
    end
    local list, problem = reserve("list", "txt", {}) -- there may be more than a datagram holds
    local file = list and io.open(list, "wb")
    if not file then
      all.problem = problem or "the list of files cannot be written"
      return nil
    end
    written[#written + 1] = list
    file:write(table.concat(paths, "\n"), "\n")
    file:close()
    return "/sidechop/batch/file", "ssss", { chain, "@" .. list, folder, "{}" }
  end
  local everything = table.move(targets, 1, #targets, 1, {})
  everything[#everything + 1] = all
  jobs.run(TITLE, everything, {
    ask = function(target)
      if target == all then
        return ask_all()
      end
    end,
    count = function(reply) return reply[1] + reply[2] + reply[3] end,
    close = function()
      for _, path in ipairs(written) do
        os.remove(path)
        os.remove(path .. ".part")
      end
    end,
    finish = function() finish(targets, all, folder, label, problems) end,
  })
end

function actions.run()
  local targets, problems = items.selected()
  if #targets == 0 then
    jobs.tell(TITLE, #problems > 0 and table.concat(problems, "\n") or "Select an item with audio first.")
    return
  end
  local view = window.new("Sidechop: " .. TITLE)
  local chains, problem
  local link = jobs.session(TITLE, function()
    return view:turn() and not chains and not problem
  end, function()
    view:close()
    if problem then
      jobs.tell(TITLE, problem)
    elseif chains then
      local chain = ask_name(chains)
      if chain then
        run(chain, targets, problems)
      end
    end
  end)
  if not link then
    return
  end
  link:request("/sidechop/batch/chains", "", {}, {
    progress = function(fraction, text) view:show(fraction, text) end,
    done = function(reply) chains, problem = json.decode(reply[1]) end,
    error = function(text) problem = text end,
  })
end

return actions
