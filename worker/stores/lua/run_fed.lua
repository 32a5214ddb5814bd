-- Chunks of a run lie in the queue. Fed twice by two workers, they are counted once, and run once.
-- KEYS: run   ARGV: first chunk, how many
if redis.call('HGET', KEYS[1], 'next') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], 'next', ARGV[2])
redis.call('HDEL', KEYS[1], 'feeder', 'feeder_until')
return 1
