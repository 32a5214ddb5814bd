-- Note a run whose rows are about to be stored; one that was started is left alone.
-- KEYS: run   ARGV: seconds to keep it, field, value, ...
-- Returns 1, or 0 for a run that was started.
local state = redis.call('HGET', KEYS[1], 'state')
if state and state ~= 'loading' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'loading', unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
