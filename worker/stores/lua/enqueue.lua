-- Take a wish in: its record first; then join the job that waits for the same relation, or put the message in the queue.
-- KEYS: record, open relation, queue list
-- ARGV: job id, record prefix, wishes prefix, message, then field, value, ... of the record
-- Returns {"exists", ""}, {"joined", id of the job} or {"queued", ""}.
local record, open, queue = KEYS[1], KEYS[2], KEYS[3]
local id, prefix, wishes = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HEXISTS', record, 'status') == 1 then return {'exists', ''} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', record, 'status', 'queued', 'first_seen', now)
for i = 5, #ARGV, 2 do redis.call('HSET', record, ARGV[i], ARGV[i + 1]) end
local first = redis.call('GET', open)
if first then
  local f = redis.call('HMGET', prefix .. first, 'status', 'attempts', 'in_doubt')
  local waits = f[1] == 'queued' or f[1] == 'delayed' or f[1] == 'parked'
  -- once a request is out, a later wish may be about a link made anew: it is a job of its own
  if waits and f[3] ~= '1' and (tonumber(f[2]) or 0) == 0 then
    redis.call('HSET', record, 'joined', first)
    redis.call('RPUSH', wishes .. first, id)
    return {'joined', first}
  end
end
redis.call('SET', open, id)
redis.call('LPUSH', queue, ARGV[4])
return {'queued', ''}
