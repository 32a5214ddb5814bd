-- Take a wish back. Works until the last moment before the request.
-- KEYS: record, counters, open relation, rows (of a chunk)
-- ARGV: job id, record prefix, wishes prefix, Celery's result, its key prefix, seconds to keep results, to keep records;
--       then, if its message was seen in the queue, field, value, ... of the record that no worker has made yet
-- Returns cancelled, too_late (its request is out, or one of its rows was sent), doubt (an earlier request may have been
-- carried out, and nobody knows yet), ended, or unknown.
local record, id, prefix, wishes = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if #ARGV > 7 and redis.call('HEXISTS', record, 'status') == 0 then
  redis.call('HSET', record, 'status', 'queued', unpack(ARGV, 8)) -- whoever claims the message finds it ended
end
local f = redis.call('HMGET', record, 'status', 'outcome', 'joined', 'ignore_result', 'reused_by')
if not f[1] then return 'unknown' end
if f[2] then return f[2] == 'cancelled' and 'cancelled' or 'ended' end
local primary = f[3]
local runs = redis.call('HMGET', primary and prefix .. primary or record, 'status', 'in_doubt', 'question')
if runs[1] == 'sent' or runs[1] == 'unverified' or redis.call('EXISTS', KEYS[4]) == 1 then return 'too_late' end
if runs[2] == '1' or runs[3] == '1' then return 'doubt' end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- The record of a job whose message is queued stays until somebody has claimed that, however long nobody does.
local function close(key)
  redis.call('HDEL', key, 'carries')
  redis.call('HSET', key, 'status', 'ended')
end

redis.call('HSET', record, 'outcome', 'cancelled', 'ended_at', now)
redis.call('HINCRBY', KEYS[2], 'cancelled', 1)
if f[4] ~= '1' and not f[5] then -- an id that two jobs had has told both producers so
  redis.call('SET', ARGV[5] .. id, ARGV[4], 'EX', ARGV[6])
  redis.call('PUBLISH', ARGV[5] .. id, ARGV[4])
end
if primary then
  close(record)
  redis.call('EXPIRE', record, ARGV[7])
  redis.call('LREM', wishes .. primary, 0, id)
  -- the job ran on for its joined wishes only, and this was the last of them
  if redis.call('HGET', prefix .. primary, 'carries') and redis.call('LLEN', wishes .. primary) == 0 then
    close(prefix .. primary)
    if redis.call('GET', KEYS[3]) == primary then redis.call('DEL', KEYS[3]) end
  end
elseif redis.call('LLEN', wishes .. id) > 0 then
  redis.call('HSET', record, 'carries', 1) -- others had joined: the message runs on for them
else
  close(record)
  if redis.call('GET', KEYS[3]) == id then redis.call('DEL', KEYS[3]) end
end
return 'cancelled'
