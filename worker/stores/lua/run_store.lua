-- Store rows of a run; they are kept for long only once it is started.
-- KEYS: run, rows   ARGV: seconds to keep them until then, number of a chunk, its rows, ...
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'loading' then redis.call('EXPIRE', KEYS[2], ARGV[1]) end
return 1
