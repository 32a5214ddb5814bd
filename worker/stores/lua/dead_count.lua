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

-- The ids that tell letters of a part of the index apart, and how many letters the rarest of them has; an id that every
-- letter has there, as with the marks of one user, tells nothing.
local function telling(all, first, last)
  local ids, number = {}, all
  for _, id in ipairs(filter.ids) do
    local its = dead_number_with(id, first, last)
    if its < all then ids[#ids + 1], number = id, math.min(number, its) end
  end
  return ids, number
end

-- Of some serial numbers those that have an id; asked for by the hundred.
local function with_id(id, serials)
  local kept = {}
  for start = 1, #serials, DEAD_AT_ONCE do
    local members = {}
    for i = start, math.min(start + DEAD_AT_ONCE - 1, #serials) do members[#members + 1] = dead_member(id, serials[i]) end
    for i, score in ipairs(redis.call('ZMSCORE', DEAD_IDS, unpack(members))) do
      if score then kept[#kept + 1] = serials[start + i - 1] end
    end
  end
  return kept
end

-- From the side of the values, if fewer letters have them than the rarest of the ids.
local function count_by_values(ids, first, last)
  local serials = {}
  dead_by_values(filter.values, first, last, function(serial) serials[#serials + 1] = serial end)
  for _, id in ipairs(ids) do serials = with_id(id, serials) end
  return #serials
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
    local with_values = count_bits(filter.values, segment, first, last)
    looked = looked + math.min(number, with_values)
    if with_values < number then
      count = count + count_by_values(ids, first, last)
    else
      dead_walk({values = filter.values, ids = ids}, first, last, function() count = count + 1 end, with_values)
    end
  end
end
redis.call('DEL', DEAD_WORK)
return {count, ''}
