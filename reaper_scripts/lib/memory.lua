-- What was chopped, kept in the project, so that chops can be rolled again and locked after it was saved and opened.
--
-- A record, by the item's GUID: the file and the passage, the options, the daemon's job and session, the chops (samples
-- of the file), and what was drawn: marks (project markers and regions), sources (take markers), pieces.

local memory = {}

local json = require("json")

local SECTION, KEY = "Sidechop", "chops"

function memory.read()
  local found, text = reaper.GetProjExtState(0, SECTION, KEY)
  return found > 0 and json.decode(text) or {}
end

function memory.write(records)
  reaper.SetProjExtState(0, SECTION, KEY, json.encode(records))
end

-- The record of an item, which may be one of the pieces it was cut into.
function memory.find(records, guid)
  if records[guid] then
    return records[guid]
  end
  for _, record in pairs(records) do
    for _, piece in ipairs(record.pieces or {}) do
      if piece.guid == guid then
        return record
      end
    end
  end
end

return memory
