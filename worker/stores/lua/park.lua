-- Move a claimed message to its account's parking place.
-- KEYS: claimed, leases, parked list, accounts with parked messages   ARGV: claim, account
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
redis.call('LPUSH', KEYS[3], entry)
redis.call('SADD', KEYS[4], ARGV[2])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
