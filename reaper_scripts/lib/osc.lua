-- OSC messages as bytes and back. Pure: no reaper.*, no sockets.
--
-- Tags: i int32, h int64, f float32, d float64, s string, T a boolean (sent as T or F). Big-endian, strings end in one
-- to four zeros. Specification: https://opensoundcontrol.stanford.edu/spec-1_0.html

local osc = {}

local function padded(text)
  return text .. ("\0"):rep(4 - #text % 4)
end

-- The datagram of a message. `tags` has one letter for each value.
function osc.encode(address, tags, values)
  local letters, parts = {}, {}
  for i = 1, #tags do
    local tag, value = tags:sub(i, i), values[i]
    if tag == "T" then
      tag = value and "T" or "F"
    elseif tag == "i" then
      parts[#parts + 1] = string.pack(">i4", value)
    elseif tag == "h" then
      parts[#parts + 1] = string.pack(">i8", value)
    elseif tag == "f" then
      parts[#parts + 1] = string.pack(">f", value)
    elseif tag == "d" then
      parts[#parts + 1] = string.pack(">d", value)
    elseif tag == "s" then
      parts[#parts + 1] = padded(value)
    else
      error("osc: no tag " .. tag)
    end
    letters[i] = tag
  end
  return padded(address) .. padded("," .. table.concat(letters)) .. table.concat(parts)
end

local function read_string(data, at)
  local zero = data:find("\0", at, true)
  if not zero then
    return nil
  end
  local text = data:sub(at, zero - 1)
  return text, at + #text + 4 - #text % 4
end

local SIZES = { i = ">i4", h = ">i8", f = ">f", d = ">d" }

-- The address and the list of values of a datagram; nil for what is not a message that we know.
function osc.decode(data)
  local address, at = read_string(data, 1)
  if not address or address:sub(1, 1) ~= "/" then
    return nil
  end
  local tags
  tags, at = read_string(data, at)
  if not tags or tags:sub(1, 1) ~= "," then
    return nil
  end
  local values = {}
  for i = 2, #tags do
    local tag = tags:sub(i, i)
    if tag == "T" or tag == "F" then
      values[#values + 1] = tag == "T"
    elseif tag == "s" then
      local text, after = read_string(data, at)
      if not text then
        return nil
      end
      values[#values + 1], at = text, after
    elseif SIZES[tag] and at + string.packsize(SIZES[tag]) - 1 <= #data then
      values[#values + 1], at = string.unpack(SIZES[tag], data, at)
    else
      return nil
    end
  end
  return address, values
end

return osc
