-- with joined
-- Cancel a job. Works until its request is sent.
-- KEYS: record, counters, rows (of a chunk)
-- ARGV: job id, prefixes of records, groups and open relations, Celery's result, its key prefix, seconds to keep results, to
--       keep records, to keep the record of an id that nobody has seen yet ("": it stays unknown); then, if its message was
--       seen in the queue, field, value, ... of the record that no worker has made yet
-- Returns cancelled, too_late (its request is out, or one of its rows was sent), doubt (an earlier request may have been
-- carried out, and nobody knows yet), ended, or unknown.
local record, id, names = KEYS[1], ARGV[1], {job = ARGV[2], joined = ARGV[3], open = ARGV[4]}
local result, result_key = ARGV[5], ARGV[6] .. ARGV[1]
local unseen = false
if redis.call('HEXISTS', record, 'status') == 0 then
  -- whoever claims the message finds it ended
  if #ARGV > 9 then redis.call('HSET', record, 'status', 'queued', unpack(ARGV, 10))
  elseif ARGV[9] ~= '' then unseen = true
  else return 'unknown' end
end
local f = redis.call('HMGET', record, 'outcome', 'joined', 'leads', 'ignore_result', 'account', 'relationtype', 'parentid',
  'childid', 'reused_by')
if f[1] then return f[1] == 'cancelled' and 'cancelled' or 'ended' end
local runs = f[2] and redis.call('LINDEX', names.joined .. f[2], 0) or id
local known = redis.call('HMGET', names.job .. runs, 'status', 'in_doubt', 'question')
if known[1] == 'sent' or redis.call('EXISTS', KEYS[3]) == 1 then return 'too_late' end
if known[1] == 'unverified' or known[2] == '1' or known[3] == '1' then return 'doubt' end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', record, 'status', 'ended', 'outcome', 'cancelled', 'ended_at', now)
redis.call('HINCRBY', KEYS[2], 'cancelled', 1)
if unseen then
  redis.call('EXPIRE', record, ARGV[9])
  -- it may be another application's: what that has stored stands
  if redis.call('SET', result_key, result, 'EX', ARGV[7], 'NX') then redis.call('PUBLISH', result_key, result) end
  return 'cancelled'
end
if f[4] ~= '1' and not f[9] then -- an id that two jobs had has told both producers so
  redis.call('SET', result_key, result, 'EX', ARGV[7])
  redis.call('PUBLISH', result_key, result)
end
if f[2] then -- it has no message of its own in any queue
  redis.call('HDEL', record, 'message')
  redis.call('EXPIRE', record, ARGV[8])
elseif f[6] then
  leave_group(names, id, table.concat({f[5], f[6], f[7], f[8]}, ':'), f[3])
end
-- else the record stays until somebody has claimed its message, however long nobody does
return 'cancelled'
