-- Move a claimed message to the delay set.
-- KEYS: claimed, leases, delayed   ARGV: claim, delay in ms (from now, Redis TIME)
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[2]), entry)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
