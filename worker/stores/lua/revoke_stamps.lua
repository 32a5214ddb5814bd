-- Remember that jobs with one of these stamps are cancelled, and forget what was remembered long enough.
-- KEYS: revoked stamps   ARGV: ms to remember it, then the stamps
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1]))
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
return #ARGV - 1
