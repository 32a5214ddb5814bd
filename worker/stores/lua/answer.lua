-- Tell the producer of a message that is no job, unless its id names a job, whose outcome stands.
-- KEYS: record, Celery's result   ARGV: the result, seconds to keep it
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
redis.call('PUBLISH', KEYS[2], ARGV[1])
return 1
