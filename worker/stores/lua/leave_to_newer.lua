-- Let a claimed message wait for a worker that reads newer payloads; it takes it before the queues.
-- KEYS: claimed, leases, newer   ARGV: claim, version
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
redis.call('ZADD', KEYS[3], ARGV[2], entry)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
