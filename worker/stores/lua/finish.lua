-- End a job, once and for all. The first writer wins; everybody else is told what stands.
-- KEYS: record, wishes of the record, dead letters, counters, open relation
-- ARGV: job id, outcome, outcome's fields as JSON, Celery's result with @ID@ for the id (or ""), its key prefix,
--       seconds to keep results, seconds to keep records, Celery's state
-- Returns {1, outcome} when this call ended the job, {0, outcome} when it had ended before.
local record, wishes, dead, counters, open = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, outcome, fields, meta = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function write(job, key)
  redis.call('HSET', key, 'status', 'ended', 'outcome', outcome, 'evidence', fields, 'ended_at', now)
  redis.call('HDEL', key, 'carries')
  redis.call('EXPIRE', key, ARGV[7])
  redis.call('HINCRBY', counters, outcome, 1)
  if outcome == 'dead' or outcome == 'expired' then
    redis.call('ZADD', dead, now, job)
    redis.call('PERSIST', key) -- a dead letter stays until somebody replays or discards it
  end
  if meta ~= '' and redis.call('HGET', key, 'ignore_result') ~= '1' then
    local text = string.gsub(meta, '@ID@', function() return job end)
    redis.call('SET', ARGV[5] .. job, text, 'EX', ARGV[6])
    redis.call('PUBLISH', ARGV[5] .. job, text)
  end
end

local stands = redis.call('HGET', record, 'outcome')
local carries = redis.call('HGET', record, 'carries')
if stands and not carries then return {0, stands} end
if redis.call('GET', open) == id then redis.call('DEL', open) end
local prefix = string.sub(record, 1, #record - #id)
for _, joined in ipairs(redis.call('LRANGE', wishes, 0, -1)) do
  if not redis.call('HGET', prefix .. joined, 'outcome') then write(joined, prefix .. joined) end
end
redis.call('DEL', wishes)
if carries then -- its own wish was taken back; it ran for the wishes that had joined it
  redis.call('HDEL', record, 'carries')
  redis.call('HSET', record, 'status', 'ended')
  redis.call('EXPIRE', record, ARGV[7])
  return {0, stands}
end
write(id, record)
return {1, outcome}
