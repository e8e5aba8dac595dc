-- The actions for chops: chop the selected items, roll again, lock the one at the edit cursor.

local actions = {}

local chops = require("chops")
local edits = require("edits")
local items = require("items")
local jobs = require("jobs")
local json = require("json")
local memory = require("memory")
local settings = require("settings")
local timeline = require("timeline")

local function options()
  return {
    mode = settings.get("chop_mode"),
    count = settings.get("chop_count"),
    min_length_s = settings.get("chop_min_length"),
  }
end

-- Add what went wrong with targets to a list of lines.
local function gather(targets, problems)
  for _, target in ipairs(targets) do
    if target.problem then
      problems[#problems + 1] = target.name .. ": " .. target.problem
    end
  end
  return problems
end

local function tell_problems(title, problems)
  if #problems > 0 then
    jobs.tell(title, table.concat(problems, "\n"))
  end
end

-- A record of what was chopped of a target, with what the daemon said of it.
local function record_of(target, session, as)
  local view = target.view
  return {
    guid = target.guid, name = target.name, path = target.path, rendered = target.render ~= nil,
    start_s = target.start_s, end_s = items.end_of(target, target.end_s),
    from = target.from - view.position, to = target.to - view.position,
    options = options(), seed = 0, as = as, session = session, job = target.reply[1], rate = target.reply[3],
    chops = chops.read(target.items),
    item_color = reaper.GetMediaItemInfo_Value(target.item, "I_CUSTOMCOLOR"),
  }
end

local function draw_chops(targets, session, problems)
  local done = {}
  for _, target in ipairs(targets) do
    if target.reply and not items.still_there(target) then
      problems[#problems + 1] = target.name .. ": was changed in the meantime; chop it again"
    elseif target.reply then
      done[#done + 1] = target
    end
  end
  if #done == 0 then
    return
  end
  edits.once("Sidechop: chop selected items", function()
    local records = memory.read()
    for _, target in ipairs(done) do
      local old = records[target.guid]
      if old and old.as ~= "splits" then
        chops.remove(old)
      end
      local record = record_of(target, session, settings.get("chop_as"))
      chops.draw(record, target)
      records[target.guid] = record
    end
    memory.write(records)
  end)
end

function actions.chop()
  local title = "Chop selected items"
  local targets, problems = items.selected()
  if #targets == 0 then
    jobs.tell(title, #problems > 0 and table.concat(problems, "\n") or "Select an item with audio first.")
    return
  end
  jobs.run(title, targets, {
    ask = function(target)
      return "/sidechop/chop/file", "sdds", {
        target.path, target.start_s, items.end_of(target, target.end_s), json.encode(options()),
      }
    end,
    count = function(reply) return reply[2] end,
    finish = function(done, session)
      gather(done, problems)
      draw_chops(done, session, problems)
      tell_problems(title, problems)
    end,
  })
end

-- The records of what is selected, as targets for a new roll.
local function chopped_targets(records)
  local targets, seen = {}, {}
  for i = 0, reaper.CountSelectedMediaItems(0) - 1 do
    local record = memory.find(records, items.guid(reaper.GetSelectedMediaItem(0, i)))
    if record and not seen[record.guid] then
      seen[record.guid] = true
      targets[#targets + 1] = { name = record.name, record = record, guid = record.guid }
    end
  end
  return targets
end

-- How a record's item lies now, its pieces taken as one.
local function target_of(record)
  local item = items.by_guid(record.guid)
  local take = item and reaper.GetActiveTake(item)
  if not take then
    return nil
  end
  local view = record.rendered and items.rendered_view(item) or items.view(item, take)
  local last = #record.pieces > 1 and items.by_guid(record.pieces[#record.pieces].guid)
  if last then
    local stop = reaper.GetMediaItemInfo_Value(last, "D_POSITION") + reaper.GetMediaItemInfo_Value(last, "D_LENGTH")
    view.length = stop - view.position
  end
  return {
    item = item, take = take, view = view, render = record.rendered or nil,
    from = view.position + record.from, to = math.min(view.position + record.to, view.position + view.length),
  }
end

local function ask_reroll(target, session)
  local record = target.record
  if record.session == session and not target.asked_again then
    return "/sidechop/chop/reroll", "ii", { record.job, record.seed + 1 }
  end
  -- Another daemon, or one that has forgotten: it hears the file again, and is told what is locked.
  local again = { seed = record.seed + 1, lock = json.array() }
  for key, value in pairs(record.options) do
    again[key] = value
  end
  for _, chop in ipairs(record.chops) do
    if chop.locked then
      table.insert(again.lock, chop.position / record.rate)
    end
  end
  return "/sidechop/chop/file", "sdds", { record.path, record.start_s, record.end_s, json.encode(again) }
end

function actions.reroll()
  local title = "Re-roll chops"
  local records = memory.read()
  local targets = chopped_targets(records)
  if #targets == 0 then
    jobs.tell(title, "Select an item that was chopped by Sidechop first.")
    return
  end
  jobs.run(title, targets, {
    ask = ask_reroll,
    retry = function(_, text) return text:find("is kept", 1, true) ~= nil end,
    count = function(reply) return reply[2] end,
    finish = function(done, session)
      local problems = gather(done, {})
      if #problems < #done then
        edits.once("Sidechop: re-roll chops", function()
          for _, target in ipairs(done) do
            local record = target.record
            local stuck = target.reply and chops.remove(record)
            local now = target.reply and not stuck and target_of(record)
            if stuck then
              problems[#problems + 1] = stuck
            elseif now then
              record.chops, record.seed, record.session = chops.read(target.items), record.seed + 1, session
              record.job, record.rate = target.reply[1], target.reply[3]
              chops.draw(record, now)
            end
          end
          memory.write(records)
        end)
      end
      tell_problems(title, problems)
    end,
  })
end

-- The chop at a time: of splits and regions the one that it lies in, of markers the nearest.
local function chop_at(records, time)
  local best, best_distance, number_found = nil, math.huge, nil
  for _, record in pairs(records) do
    local target = target_of(record)
    if target and time >= target.from - 1e-7 and time <= target.to + 1e-7 then
      for number, chop in ipairs(record.chops) do
        for _, at in ipairs(timeline.times(target.view, chop.position / record.rate, target.from, target.to)) do
          local inside = record.as == "splits" or record.as == "regions"
          local distance = inside and at > time + 1e-7 and math.huge or math.abs(time - at)
          if distance < best_distance then
            best, best_distance, number_found = record, distance, number
          end
        end
      end
    end
  end
  return best, number_found
end

function actions.lock()
  local title = "Lock chop"
  local records = memory.read()
  local record, number = chop_at(records, reaper.GetCursorPosition())
  if not record then
    jobs.tell(title, "Place the edit cursor at a chop of an item that was chopped by Sidechop.")
    return
  end
  local chop = record.chops[number]
  local on = not chop.locked
  jobs.run(title, { { name = record.name } }, {
    ask = function(_, session)
      if record.session == session then
        return "/sidechop/chop/lock", "ihT", { record.job, chop.position, on }
      end
      return "/sidechop/ping", "", {} -- another daemon: it is told with the next roll
    end,
    finish = function(done)
      local problem = done[1].problem
      if problem and not problem:find("is kept", 1, true) then
        jobs.tell(title, problem)
        return
      end
      edits.once(on and "Sidechop: lock chop" or "Sidechop: unlock chop", function()
        chop.locked = on
        chops.show_lock(record, number)
        memory.write(records)
      end)
    end,
  })
end

return actions
