-- with dead_index
-- End jobs, once and for all. The first writer wins; everybody else is told what stands. Then, and only then, the ack.
-- KEYS: journal, counters, claimed (or "-"), leases (or "-")
-- ARGV: record prefix, wishes prefix, open relation prefix, Celery's key prefix, seconds to keep results, seconds to keep
--       records, then groups of jobs that end alike: outcome, its fields as JSON, Celery's result as a JSON object without its
--       task_id (or ""), number of jobs, and for each of them: id, relation, claim (or "": nothing to ack), its attempts as
--       JSON (or "")
-- Returns per job "" when this call ended it, else the outcome that had ended it before.
local journal, counters, claimed, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, wishes_prefix, open_prefix, result_prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local results_ttl, records_ttl = ARGV[5], ARGV[6]
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

local function finish_joined(wishes, how, attempts)
  for _, wish in ipairs(redis.call('LRANGE', wishes, 0, -1)) do
    local f = redis.call('HMGET', prefix .. wish, 'outcome', 'ignore_result', 'reused_by')
    if not f[1] then write(wish, how, is_silent(f[2], f[3]), attempts) end
  end
  redis.call('DEL', wishes)
end

local function finish(id, relation, how, attempts)
  local record, open = prefix .. id, open_prefix .. relation
  local f = redis.call('HMGET', record, 'outcome', 'carries', 'ignore_result', 'joined_by', 'waiting', 'reused_by')
  local stands, carries = f[1], f[2]
  if stands and not carries then return stands end
  how.ids[#how.ids + 1] = id
  if redis.call('GET', open) == id then redis.call('DEL', open) end
  if f[4] then finish_joined(wishes_prefix .. id, how, attempts) end
  if f[5] then redis.call('HDEL', record, 'waiting') end
  if carries then -- its own wish was taken back; it ran for the wishes that had joined it
    redis.call('HDEL', record, 'carries')
    redis.call('HSET', record, 'status', 'ended')
    redis.call('EXPIRE', record, records_ttl)
    return stands
  end
  write(id, how, is_silent(f[3], f[6]), attempts)
  return ''
end

local out, at = {}, 7
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
return out
