-- Write down what has become of a night, if it is still ours to look after.
-- KEYS: night, open nights, lease of the policy, the night's plan
-- ARGV: token of the lease, policy, night's id, the night as JSON, 1 if it is still open, ms to keep its plan, the plan
-- The plan is kept with the night that waits for its approval, and only with that one; without ARGV[6] it is left alone.
-- Returns 1 when it is written, 0 when the lease is another's.
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[4])
if ARGV[6] then redis.call('SET', KEYS[4], ARGV[7], 'PX', ARGV[6]) end
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
elseif redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] then
  redis.call('HDEL', KEYS[2], ARGV[2])
end
return 1
