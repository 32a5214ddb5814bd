-- Keep a claimed message that is none for us, with the reason, and let the rest go on.
-- KEYS: claimed, leases, junk   ARGV: claim, why, how many to keep
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local at = string.find(entry, '\n', 1, true)
local time = redis.call('TIME')
redis.call('LPUSH', KEYS[3], cjson.encode({
  at = tonumber(time[1]), why = ARGV[2], queue = string.sub(entry, 1, at - 1), message = string.sub(entry, at + 1)}))
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
