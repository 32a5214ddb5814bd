-- Forget claimed messages whose jobs have ended. Claims that were taken over meanwhile are not ours and stay.
-- KEYS: claimed, leases   ARGV: the claims
redis.call('HDEL', KEYS[1], unpack(ARGV))
redis.call('ZREM', KEYS[2], unpack(ARGV))
return #ARGV
