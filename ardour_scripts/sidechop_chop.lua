ardour {
  ["type"] = "EditorAction",
  name = "Sidechop: Chop selected regions",
  license = "Apache-2.0",
  author = "Sidechop",
  description = [[Puts a marker at each place worth cutting at, in all selected audio regions.
Start 'sidechop live --daw ardour' first; what goes wrong is told there.]]
}

function factory ()
local id = 0 -- each request has its own, as long as Ardour runs
return function ()
  local DAEMON = "osc.udp://127.0.0.1:9190"
  local OPTIONS = '{}' -- as of 'sidechop chop', such as '{"count": 16}'
  local rate = Session:nominal_sample_rate ()
  local daemon = ARDOUR.LuaOSC.Address (DAEMON)
  for region in Editor:get_selection ().regions:regionlist ():iter () do
    local audio = region:to_audioregion ()
    local file = not audio:isnil () and region:source (0):to_filesource ()
    if file and not file:isnil () then
      local start, length = region:start ():samples (), region:length ():samples ()
      local at = region:position ():samples ()
      id = id + 1
      -- Seconds travel as float64: exact to far less than a sample.
      daemon:send ("/sidechop/chop/place", "isddsd",
        id, file:path (), start / rate, (start + length) / rate, OPTIONS, at / rate)
    end
  end
end
end
