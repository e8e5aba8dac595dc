-- Names for what is written: plain ones, and none that is taken.

local folders = {}

local LONGEST = 60 -- bytes

-- A name that every file system takes.
function folders.plain(name)
  name = name:gsub('[<>:"/\\|?*%c]', "_")
  if #name > LONGEST then
    local at = LONGEST + 1
    while at > 1 and name:byte(at) & 0xC0 == 0x80 do -- within a letter of several bytes
      at = at - 1
    end
    name = name:sub(1, at - 1)
  end
  return (name:gsub("[%s.]+$", ""))
end

-- A folder that is not there yet, beside the project's media.
function folders.new(name, taken)
  local base = ("%s/Sidechop/%s"):format(reaper.GetProjectPath(), folders.plain(name))
  local number, folder = 1, base
  reaper.EnumerateFiles(base, -1) -- what REAPER remembers of it may be old
  while taken[folder] or reaper.EnumerateFiles(folder, 0) do
    number = number + 1
    folder = ("%s %d"):format(base, number)
  end
  taken[folder] = true
  return folder
end

return folders
