-- with dead_index, dead_walk
-- How many dead letters fit a filter.
-- ARGV: lowest serial number, highest serial number, side and id of a record twice, values ... (as dead_page has them)
-- Returns {how many, serial number below which to go on counting, or "" at the end}.
local low, high = tonumber(ARGV[1]), tonumber(ARGV[2])
local filter = dead_filter(ARGV, 3)

local function count_bits(values, segment, first, last)
  local names = {}
  for _, value in ipairs(values) do names[#names + 1] = dead_bits(value, segment) end
  if redis.call('EXISTS', unpack(names)) < #names then return 0 end
  redis.call('BITOP', 'AND', DEAD_WORK, unpack(names))
  local start = segment * DEAD_SEGMENT
  return redis.call('BITCOUNT', DEAD_WORK, first - start, last - start, 'BIT')
end

-- The ids that tell letters of a part of the index apart, and how many letters the rarest of them has; an id that every letter has
-- there, as with the marks of one user, tells nothing.
local function telling(all, first, last)
  local ids, number = {}, all
  for _, id in ipairs(filter.ids) do
    local its = dead_number_with(id, first, last)
    if its < all then ids[#ids + 1], number = id, math.min(number, its) end
  end
  return ids, number
end

local count, looked = 0, 0
for segment = math.floor(high / DEAD_SEGMENT), math.floor(low / DEAD_SEGMENT), -1 do
  local first = math.max(low, segment * DEAD_SEGMENT)
  local last = math.min(high, (segment + 1) * DEAD_SEGMENT - 1)
  local all = count_bits({'all='}, segment, first, last)
  local ids, number = telling(all, first, last)
  if #ids == 0 then
    count = count + count_bits(filter.values, segment, first, last)
  elseif #ids == 1 and #filter.values == 1 then
    count = count + number
  elseif number > 0 then
    if looked > DEAD_STEPS then
      redis.call('DEL', DEAD_WORK)
      return {count, string.format('%.0f', last + 1)}
    end
    looked = looked + number
    dead_walk({values = filter.values, ids = ids}, first, last, function() count = count + 1 end)
  end
end
redis.call('DEL', DEAD_WORK)
return {count, ''}
