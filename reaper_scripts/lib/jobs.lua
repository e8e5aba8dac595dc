-- A list of targets through the daemon, one after the other, while REAPER goes on: asked, followed, collected.
--
--   jobs.run("Chop", targets, { ask = function(target, session) return address, tags, values end,
--     finish = function(targets, session) … edits, all at once … end })
--
-- What a job sends of its results lies in target.items, as {address, values}; its reply in target.reply; a line of
-- trouble in target.problem. `ask` gets the name of the daemon's session, too: a job's number means something in that
-- session alone. `retry`, where it is given, is told what went wrong and may say that `ask` is to be asked once more.
-- `count`, where it is given, says how many results a reply promises: UDP may lose some on a machine that is very busy.
-- `finish` is called once, when all are through, unless the user has cancelled; `close`, where it is given, however it
-- ends. A target that `ask` gives nothing for is only written out, to `render_path` if it has one. `weight` says how much
-- of the whole a target is, where it is not 1.

local jobs = {}

local Link = require("link")
local json = require("json")
local rendering = require("rendering")
local window = require("window")

-- Say something that needs an answer of the user's eyes.
function jobs.tell(title, text)
  reaper.MB(text, "Sidechop: " .. title, 0)
end

local function render_path(target)
  local folder = reaper.GetResourcePath() .. "/Data/Sidechop/rendered"
  reaper.RecursiveCreateDirectory(folder, 0)
  return ("%s/%s.wav"):format(folder, target.guid:gsub("[^%w]", ""))
end

-- A session of requests that pumps itself: `step` is called at every turn, and returns false to end it. `on_end` is
-- called however it ends.
function jobs.session(title, step, on_end)
  local link, problem = Link.open()
  if not link then
    jobs.tell(title, problem)
    return nil
  end
  local ended = false
  local function finish()
    if not ended then
      ended = true
      link:close()
      if on_end then
        on_end()
      end
    end
  end
  local function turn()
    link:pump()
    if not ended and step() ~= false then
      reaper.defer(turn)
    else
      finish()
    end
  end
  reaper.atexit(finish)
  reaper.defer(turn)
  return link
end

function jobs.run(title, targets, work)
  local view = window.new("Sidechop: " .. title)
  local current, link, request, render = 0, nil, nil, nil
  local cancelled, session = false, nil
  local total = 0
  for _, target in ipairs(targets) do
    total = total + (target.weight or 1)
  end

  local function show(target, fraction, text)
    local before = 0
    for i = 1, current - 1 do
      before = before + (targets[i].weight or 1)
    end
    view:show((before + fraction * (target.weight or 1)) / total, target.name .. text)
  end

  local ask
  ask = function(target)
    local address, tags, values = work.ask(target, session)
    target.items = {}
    if not address then
      return
    end
    request = link:request(address, tags, values, {
      item = function(item_address, item) target.items[#target.items + 1] = { item_address, item } end,
      progress = function(fraction, text) show(target, fraction, ": " .. text) end,
      done = function(reply)
        request = nil
        if work.count and #target.items < work.count(reply) then
          target.problem = "some of what was found was lost on the way; run it again"
        else
          target.reply = reply
        end
      end,
      error = function(text)
        request = nil
        if work.retry and not target.asked_again and work.retry(target, text) then
          target.asked_again = true
          ask(target)
        else
          target.problem = text
        end
      end,
    })
  end

  local function learn_session()
    request = link:request("/sidechop/status", "", {}, {
      progress = function(fraction, text) view:show(fraction, text) end,
      done = function(reply) session, request = (json.decode(reply[1]) or {}).lane, nil end,
      error = function(text)
        request, current = nil, #targets
        for _, target in ipairs(targets) do
          target.problem = text
        end
      end,
    })
  end

  local function begin(target)
    if not target.render then
      ask(target)
      return
    end
    local problem
    render, problem = rendering.start(target, target.render_path or render_path(target))
    if not render then
      target.problem = problem
    end
  end

  local function step()
    if not view:turn() and not cancelled then
      cancelled = true
      if request then
        link:cancel(request)
      end
      return false
    end
    if render then
      show(targets[current], render:share(), ": written out, because " .. targets[current].render)
      if not render:step() then
        return true
      end
      targets[current].path, render = render.path, nil
      ask(targets[current])
      return true
    elseif request then
      return true
    elseif current < #targets then
      current = current + 1
      begin(targets[current])
      return true
    end
    return false
  end

  link = jobs.session(title, step, function()
    view:close()
    if render then
      render:close()
    end
    if work.close then
      work.close()
    end
    if not cancelled and current >= #targets and not request then
      work.finish(targets, session)
    end
  end)
  if link then
    learn_session()
  elseif work.close then
    work.close()
  end
end

return jobs
