-- Bring parked messages back to their queues, the longest parked first.
-- KEYS: parked list, accounts with parked messages   ARGV: account, how many at the most
-- Returns how many came back.
local moved = 0
while moved < tonumber(ARGV[2]) do
  local entry = redis.call('LINDEX', KEYS[1], -1)
  if not entry then break end
  local at = string.find(entry, '\n', 1, true)
  redis.call('LPUSH', string.sub(entry, 1, at - 1), string.sub(entry, at + 1))
  redis.call('RPOP', KEYS[1])
  moved = moved + 1
end
if redis.call('LLEN', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
return moved
