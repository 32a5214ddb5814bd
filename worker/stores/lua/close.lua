-- with dead_index
-- Close dead letters whose wishes have come true by themselves; each call closes each of them once.
-- ARGV: record prefix, seconds to keep the records, who closes them, then pairs of job id and what they are closed as
-- Returns per id 1 if this call closed it, else 0.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local out = {}
for i = 4, #ARGV, 2 do
  local record = ARGV[1] .. ARGV[i]
  local was_there = dead_remove(ARGV[i], record)
  if was_there then
    redis.call('HSET', record, 'closed_as', ARGV[i + 1], 'closed_at', now, 'closed_by', ARGV[3])
    redis.call('EXPIRE', record, ARGV[2])
  end
  out[#out + 1] = was_there and 1 or 0
end
return out
