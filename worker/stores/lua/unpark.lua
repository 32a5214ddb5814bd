-- Bring parked messages back to the heads of their queues, the longest parked first.
-- KEYS: parked list, accounts with parked messages   ARGV: account, how many at the most
-- Returns how many came back.
local entries = redis.call('LRANGE', KEYS[1], -tonumber(ARGV[2]), -1)
for _, entry in ipairs(entries) do -- the longest parked is the last of them, and is claimed first
  local at = string.find(entry, '\n', 1, true)
  redis.call('RPUSH', string.sub(entry, 1, at - 1), string.sub(entry, at + 1))
end
if #entries > 0 then redis.call('LTRIM', KEYS[1], 0, -#entries - 1) end
if redis.call('LLEN', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
return #entries
