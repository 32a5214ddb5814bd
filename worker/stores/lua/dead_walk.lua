-- Walks along the index of dead letters, newest first, for scripts that have dead_index too.
-- A filter is {values = {"all=", ...}, ids = {"p...671:", ...}}: what a letter must have, all of it.
local DEAD_WORK, DEAD_IDS = DEAD .. ':work', DEAD .. ':ids'
local DEAD_STEPS = 20000 -- letters looked at in one call: some 10 ms, in which Redis does nothing else
local DEAD_AT_ONCE = 500
local floor, sub, byte_at, band, rshift = math.floor, string.sub, string.byte, bit.band, bit.rshift -- they are called often

-- One bit per serial number of a segment: whether it has all the values.
local function dead_segment(values, segment)
  local names = {}
  for _, value in ipairs(values) do names[#names + 1] = dead_bits(value, segment) end
  if redis.call('EXISTS', unpack(names)) < #names then return '' end
  if #names == 1 then return redis.call('GET', names[1]) end
  redis.call('BITOP', 'AND', DEAD_WORK, unpack(names))
  local bytes = redis.call('GET', DEAD_WORK)
  redis.call('DEL', DEAD_WORK)
  return bytes
end

-- Redis counts bits from the left.
local function dead_bit(byte, place) return band(byte, rshift(128, place)) ~= 0 end

local function dead_has(bytes, offset)
  local byte = byte_at(bytes, floor(offset / 8) + 1)
  return byte and dead_bit(byte, offset % 8)
end

local function dead_by_values(values, low, high, visit)
  for segment = floor(high / DEAD_SEGMENT), floor(low / DEAD_SEGMENT), -1 do
    local bytes = dead_segment(values, segment)
    for at = #bytes, 1, -1 do
      local byte = byte_at(bytes, at)
      for place = 7, byte > 0 and 0 or 8, -1 do
        local serial = segment * DEAD_SEGMENT + (at - 1) * 8 + place
        if dead_bit(byte, place) and serial >= low and serial <= high then
          local stopped = visit(serial)
          if stopped then return stopped end
        end
      end
    end
  end
  return ''
end

local function dead_by_id(id, low, high, visit)
  local first, last = '[' .. dead_member(id, low), '[' .. dead_member(id, high)
  while true do
    local found = redis.call('ZREVRANGEBYLEX', DEAD_IDS, last, first, 'LIMIT', 0, DEAD_AT_ONCE)
    for _, member in ipairs(found) do
      local stopped = visit(tonumber(sub(member, -16)))
      if stopped then return stopped end
    end
    if #found < DEAD_AT_ONCE then return '' end
    last = '(' .. found[#found]
  end
end

local function dead_number_with(id, low, high)
  return redis.call('ZLEXCOUNT', DEAD_IDS, '[' .. dead_member(id, low), '[' .. dead_member(id, high))
end

local function dead_has_ids(ids, serial)
  for _, id in ipairs(ids) do
    if not redis.call('ZSCORE', DEAD_IDS, dead_member(id, serial)) then return false end
  end
  return true
end

-- How many letters have all the values at the most.
local function dead_most(values)
  local most = tonumber(redis.call('ZCARD', DEAD))
  for _, value in ipairs(values) do
    most = math.min(most, tonumber(redis.call('HGET', DEAD .. ':totals', value) or 0))
  end
  return most
end

-- The id that fewest letters have, if those are no more than the letters with all the values.
local function dead_rarest(filter, low, high, with_values)
  local rarest, fewest = nil, with_values
  for _, id in ipairs(filter.ids) do
    local number = dead_number_with(id, low, high)
    if number <= fewest then rarest, fewest = id, number end
  end
  return rarest
end

-- Calls `take` with each serial number that fits, from `high` down, until it returns true, or until DEAD_STEPS letters
-- were looked at. Returns the serial number below which to go on, or "" at the end. `with_values`: how many there have all
-- the values, if that is known.
local function dead_walk(filter, low, high, take, with_values)
  local steps, rarest = 0, dead_rarest(filter, low, high, with_values or dead_most(filter.values))
  local segment, bytes
  local function has_values(serial)
    local its_segment = floor(serial / DEAD_SEGMENT)
    if its_segment ~= segment then segment, bytes = its_segment, dead_segment(filter.values, its_segment) end
    return dead_has(bytes, serial % DEAD_SEGMENT)
  end
  local function visit(serial)
    if steps == DEAD_STEPS then return serial + 1 end
    steps = steps + 1
    local fits = (not rarest or has_values(serial)) and dead_has_ids(filter.ids, serial)
    return fits and take(serial) and serial + 1
  end
  if rarest then return dead_by_id(rarest, low, high, visit) end
  return dead_by_values(filter.values, low, high, visit)
end

-- From the words of a script: two ids ("" for none), then values.
local function dead_filter(words, at)
  local filter = {values = {'all='}, ids = {}}
  for i = at, at + 1 do
    if words[i] ~= '' then
      filter.ids[#filter.ids + 1] = dead_id(sub(words[i], 1, 1), sub(words[i], 2))
    end
  end
  for i = at + 2, #words do filter.values[#filter.values + 1] = words[i] end
  return filter
end
