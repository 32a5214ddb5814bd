-- with dead_index
-- Where the dead letters begin and end, and where a moment lies between them.
-- ARGV: record prefix, moment in ms or "", moment in ms or ""
-- Returns {serial number of the first that ended at or after the first moment, of the last that ended before the second
--          moment}; "" where there is none.
local prefix = ARGV[1]

local function rank_of(moment)
  local low, high = 0, redis.call('ZCARD', DEAD)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local job = redis.call('ZRANGE', DEAD, middle, middle)[1]
    if tonumber(redis.call('HGET', prefix .. job, 'ended_at') or 0) < moment then low = middle + 1 else high = middle end
  end
  return low
end

local function serial_at(rank)
  if rank < 0 then return '' end
  return redis.call('ZRANGE', DEAD, rank, rank, 'WITHSCORES')[2] or ''
end

local first = ARGV[2] == '' and 0 or rank_of(tonumber(ARGV[2]))
local last = (ARGV[3] == '' and redis.call('ZCARD', DEAD) or rank_of(tonumber(ARGV[3]))) - 1
return {serial_at(first), serial_at(last)}
