-- with dead_index
-- Take old dead letters out, and count them. Their records stay until no redelivery can ask for them any more.
-- KEYS: counters
-- ARGV: record prefix, seconds a record is kept after its end, then job ids
-- Returns how many this call took out.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local dropped = 0
for i = 3, #ARGV do
  local record = ARGV[1] .. ARGV[i]
  if dead_remove(ARGV[i], record) then
    local left = tonumber(redis.call('HGET', record, 'ended_at') or 0) + 1000 * tonumber(ARGV[2]) - now
    redis.call('HSET', record, 'dropped_at', now)
    redis.call('PEXPIRE', record, math.max(left, 1))
    dropped = dropped + 1
  end
end
if dropped > 0 then redis.call('HINCRBY', KEYS[1], 'letters_dropped', dropped) end
return dropped
