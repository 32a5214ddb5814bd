-- with dead_index
-- Dead letters that fit a filter, newest first.
-- ARGV: how many, lowest serial number, highest serial number, side and id of a record ("p671", "c153"; "" for none) twice,
--       then the values they must all have
-- Returns {serial number to go on below, or "" at the end, job id, job id, ...}. A page may hold fewer than asked for.
local wanted, low, high = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local SCANNED_AT_ONCE, WORK = 'unlinker:dead:work', 20000
local values = {'all='}
for i = 6, #ARGV do values[#values + 1] = ARGV[i] end
local serials, next_below = {}, ''

local function has_all(serial)
  local segment = math.floor(serial / DEAD_SEGMENT)
  for _, value in ipairs(values) do
    if redis.call('GETBIT', dead_bits(value, segment), serial % DEAD_SEGMENT) == 0 then return false end
  end
  return true
end

local function of_segment(segment)
  local names = {}
  for _, value in ipairs(values) do names[#names + 1] = dead_bits(value, segment) end
  if redis.call('EXISTS', names[#names]) == 0 then return '' end
  if #names == 1 then return redis.call('GET', names[1]) end
  redis.call('BITOP', 'AND', SCANNED_AT_ONCE, unpack(names))
  local bytes = redis.call('GET', SCANNED_AT_ONCE) or ''
  redis.call('DEL', SCANNED_AT_ONCE)
  return bytes
end

local function take_bits(segment, bytes)
  for at = #bytes, 1, -1 do
    local byte = string.byte(bytes, at)
    if byte > 0 then
      for place = 7, 0, -1 do -- Redis counts bits from the left: the highest place is the lowest bit
        if math.floor(byte / 2 ^ (7 - place)) % 2 == 1 then
          local serial = segment * DEAD_SEGMENT + (at - 1) * 8 + place
          if serial >= low and serial <= high then
            if #serials >= wanted then
              next_below = serials[#serials]
              return
            end
            serials[#serials + 1] = serial
          end
        end
      end
    end
  end
end

local function by_segments()
  for segment = math.floor(high / DEAD_SEGMENT), math.floor(low / DEAD_SEGMENT), -1 do
    take_bits(segment, of_segment(segment))
    if next_below ~= '' then return end
  end
end

local function by_record(first, second)
  local side, id = string.sub(first, 1, 1), string.sub(first, 2)
  local found = redis.call('ZREVRANGEBYLEX', DEAD .. ':ids', '[' .. dead_id(side, id, high), '[' .. dead_id(side, id, low),
    'LIMIT', 0, WORK)
  local serial
  for _, member in ipairs(found) do
    if #serials >= wanted then
      next_below = serial
      return
    end
    serial = tonumber(string.sub(member, -16))
    local fits = has_all(serial)
    if fits and second ~= '' then
      local other = dead_id(string.sub(second, 1, 1), string.sub(second, 2), serial)
      fits = redis.call('ZSCORE', DEAD .. ':ids', other)
    end
    if fits then serials[#serials + 1] = serial end
  end
  if #found == WORK then next_below = serial end
end

if ARGV[4] ~= '' then by_record(ARGV[4], ARGV[5]) else by_segments() end
local out = {next_below == '' and '' or string.format('%.0f', next_below)}
for _, serial in ipairs(serials) do
  out[#out + 1] = redis.call('ZRANGEBYSCORE', DEAD, serial, serial)[1]
end
return out
