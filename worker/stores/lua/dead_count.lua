-- with dead_index
-- How many dead letters have all of some values.
-- ARGV: lowest serial number, highest serial number, values ...
local low, high = tonumber(ARGV[1]), tonumber(ARGV[2])
local WORK = 'unlinker:dead:work'
local values = {'all='}
for i = 3, #ARGV do values[#values + 1] = ARGV[i] end
local count = 0
for segment = math.floor(low / DEAD_SEGMENT), math.floor(high / DEAD_SEGMENT) do
  local names = {}
  for _, value in ipairs(values) do names[#names + 1] = dead_bits(value, segment) end
  if redis.call('EXISTS', names[#names]) == 1 then
    local start = segment * DEAD_SEGMENT
    redis.call('BITOP', 'AND', WORK, unpack(names))
    count = count + redis.call('BITCOUNT', WORK, math.max(low - start, 0), math.min(high - start, DEAD_SEGMENT - 1), 'BIT')
  end
end
redis.call('DEL', WORK)
return count
