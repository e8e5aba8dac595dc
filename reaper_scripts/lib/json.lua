-- JSON, as much as Sidechop says with it: UTF-8, no comments, numbers as Lua's. Pure.
--
-- A table with a first element, or one made by json.array, is a list; any other is an object. null reads as nil.

local json = {}

local LIST = {}

function json.array(list)
  return setmetatable(list or {}, LIST)
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

function json.encode(value)
  local kind = type(value)
  if kind == "string" then
    return quoted(value)
  elseif kind == "number" then
    assert(value == value and value ~= math.huge and value ~= -math.huge, "json: not a finite number")
    return math.type(value) == "integer" and tostring(value) or ("%.17g"):format(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind == "nil" then
    return "null"
  end
  local parts = {}
  if #value > 0 or getmetatable(value) == LIST then
    for _, each in ipairs(value) do
      parts[#parts + 1] = json.encode(each)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = quoted(key) .. ":" .. json.encode(value[key])
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local UNESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
local read_value

local function skip(text, at)
  return text:match("^%s*()", at)
end

local function fail(text, at)
  error(("json: unexpected %q at byte %d"):format(text:sub(at, at + 10), at), 0)
end

local function read_string(text, at)
  local parts = {}
  at = at + 1
  while true do
    local plain, after = text:match('^([^"\\]*)()', at)
    parts[#parts + 1] = plain
    local c = text:sub(after, after)
    if c == '"' then
      return table.concat(parts), after + 1
    elseif c ~= "\\" then
      fail(text, after)
    end
    c, at = text:sub(after + 1, after + 1), after + 2
    if c == "u" then
      local code = tonumber(text:match("^%x%x%x%x", at), 16)
      local low = code and code >= 0xD800 and code < 0xDC00 and text:match("^\\u(%x%x%x%x)", at + 4)
      at = at + 4
      if low then
        code, at = 0x10000 + (code - 0xD800) * 0x400 + tonumber(low, 16) - 0xDC00, at + 6
      end
      parts[#parts + 1] = utf8.char(code or fail(text, at))
    else
      parts[#parts + 1] = UNESCAPES[c] or fail(text, after)
    end
  end
end

local function read_members(text, at, close, read_member)
  at = skip(text, at + 1)
  if text:sub(at, at) == close then
    return at + 1
  end
  while true do
    at = skip(text, read_member(at))
    local c = text:sub(at, at)
    at = skip(text, at + 1)
    if c == close then
      return at
    elseif c ~= "," then
      fail(text, at)
    end
  end
end

local WORDS = { ["true"] = true, ["false"] = false }

read_value = function(text, at)
  local c = text:sub(at, at)
  if c == '"' then
    return read_string(text, at)
  elseif c == "{" then
    local object = {}
    local after = read_members(text, at, "}", function(place)
      if text:sub(place, place) ~= '"' then
        fail(text, place)
      end
      local key, colon = read_string(text, place)
      colon = skip(text, colon)
      if text:sub(colon, colon) ~= ":" then
        fail(text, colon)
      end
      local value, rest = read_value(text, skip(text, colon + 1))
      object[key] = value
      return rest
    end)
    return object, after
  elseif c == "[" then
    local list, n = json.array(), 0
    local after = read_members(text, at, "]", function(place)
      local value, rest = read_value(text, place)
      n = n + 1
      list[n] = value
      return rest
    end)
    return list, after
  end
  local word = text:match("^%a+", at)
  if word == "null" then
    return nil, at + 4
  elseif word and WORDS[word] ~= nil then
    return WORDS[word], at + #word
  end
  local digits = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  local number = digits and tonumber(digits)
  if not number then
    fail(text, at)
  end
  return number, at + #digits
end

-- The value of a text, or nil and what is wrong with it.
function json.decode(text)
  local ok, value, at = pcall(read_value, text, skip(text, 1))
  if not ok then
    return nil, value
  elseif skip(text, at) <= #text then
    return nil, ("json: something follows at byte %d"):format(at)
  end
  return value
end

return json
