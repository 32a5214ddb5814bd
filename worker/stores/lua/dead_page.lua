-- with dead_index, dead_walk
-- Dead letters that fit a filter, newest first.
-- ARGV: how many, lowest serial number, highest serial number, side and id of a record ("p671", "c153"; "" for none) twice,
--       then the values they must all have
-- Returns {serial number to go on below, or "" at the end, job id, job id, ...}. A page may hold fewer than asked for.
local wanted, low, high = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local serials = {}

local function take(serial)
  if #serials == wanted then return true end
  serials[#serials + 1] = serial
end

local below = dead_walk(dead_filter(ARGV, 4), low, high, take)
local out = {below == '' and '' or string.format('%.0f', below)}
for _, serial in ipairs(serials) do
  out[#out + 1] = redis.call('ZRANGEBYSCORE', DEAD, serial, serial)[1]
end
return out
