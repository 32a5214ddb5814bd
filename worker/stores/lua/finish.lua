-- with dead_index, joined
-- End jobs, once and for all. The first writer wins; everybody else is told what stands. Then, and only then, the ack.
-- KEYS: journal, counters, claimed (or "-"), leases (or "-")
-- ARGV: record prefix, prefix of groups, open relation prefix, Celery's key prefix, seconds to keep results, seconds to keep
--       records, the fields and the result (as below) of a job that expired, then sets of jobs that end alike: outcome, its
--       fields as JSON, Celery's result as a JSON object without its task_id (or ""), number of jobs, and for each of them: id,
--       relation, claim (or "": nothing to ack), its attempts as JSON (or "")
-- Returns per job "" when this call ended it, else the outcome that had ended it before.
local journal, counters, claimed, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, result_prefix = ARGV[1], ARGV[4]
local names = {job = ARGV[1], joined = ARGV[2], open = ARGV[3]}
local results_ttl, records_ttl = ARGV[5], ARGV[6]
local expired = {outcome = 'expired', fields = ARGV[7], meta = ARGV[8], written = 0, ids = {}}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function write(job, how, silent, attempts)
  local key = prefix .. job
  redis.call('HSET', key, 'status', 'ended', 'outcome', how.outcome, 'evidence', how.fields, 'ended_at', now)
  if how.outcome == 'dead' or how.outcome == 'expired' then
    if attempts ~= '' then redis.call('HSET', key, 'history', attempts) end
    dead_add(job, key)
    redis.call('PERSIST', key) -- a dead letter stays until somebody replays or discards it
  else
    redis.call('EXPIRE', key, records_ttl)
  end
  how.written = how.written + 1
  if how.meta ~= '' and not silent then
    local text = string.sub(how.meta, 1, -2) .. ', "task_id": ' .. cjson.encode(job) .. '}'
    redis.call('SET', result_prefix .. job, text, 'EX', results_ttl)
    redis.call('PUBLISH', result_prefix .. job, text)
  end
end

-- An id that was given to another job, too, has told both producers so: neither may take the other's outcome for its own.
local function is_silent(ignore_result, reused_by) return ignore_result == '1' or reused_by end

-- Each member ends by its own terms: who was late before the first request left was not what it was sent for.
local function finish_joined(group, head, how, attempts)
  local sent_at = tonumber(redis.call('HGET', prefix .. head, 'first_sent_at')) or now
  for _, id in ipairs(redis.call('LRANGE', names.joined .. group, 0, -1)) do
    local record = prefix .. id
    local f = redis.call('HMGET', record, 'outcome', 'ignore_result', 'deadline', 'first_seen', 'not_after', 'reused_by')
    if id ~= head and not f[1] then
      local deadline, silent = tonumber(f[3]) or latest_start(tonumber(f[4]) or now, f[5]), is_silent(f[2], f[6])
      redis.call('HDEL', record, 'message')
      if deadline < sent_at then write(id, expired, silent, '') else write(id, how, silent, attempts) end
    end
  end
  redis.call('DEL', names.joined .. group)
end

local function finish(id, relation, how, attempts)
  local record = prefix .. id
  local f = redis.call('HMGET', record, 'outcome', 'ignore_result', 'leads', 'waiting', 'reused_by')
  if f[1] then return f[1] end
  local goes_on = f[3] -- for the others, when it ends for what is its own affair
  if f[3] and how.outcome ~= 'expired' and how.outcome ~= 'cancelled' then
    finish_joined(f[3], id, how, attempts)
    goes_on = false
  end
  leave_group(names, id, relation, goes_on)
  if f[4] then redis.call('HDEL', record, 'waiting') end
  how.ids[#how.ids + 1] = id
  write(id, how, is_silent(f[2], f[5]), attempts)
  return ''
end

local out, at = {}, 9
while at <= #ARGV do
  local how = {outcome = ARGV[at], fields = ARGV[at + 1], meta = ARGV[at + 2], written = 0, ids = {}}
  local last = at + 3 + 4 * tonumber(ARGV[at + 3])
  at = at + 4
  while at <= last do
    out[#out + 1] = finish(ARGV[at], ARGV[at + 1], how, ARGV[at + 3])
    local claim = ARGV[at + 2]
    if claim ~= '' and claimed ~= '-' then
      redis.call('HDEL', claimed, claim)
      redis.call('ZREM', leases, claim)
    end
    at = at + 4
  end
  if how.written > 0 then redis.call('HINCRBY', counters, how.outcome, how.written) end
  if #how.ids > 0 and how.outcome ~= 'done' then
    redis.call('XADD', journal, '*', 'end', how.outcome, 'fields', how.fields, 'ids', cjson.encode(how.ids))
  end
end
if expired.written > 0 then redis.call('HINCRBY', counters, 'expired', expired.written) end
return out
