-- with joined
-- First look at claimed jobs: make or refresh their records, tell what is known of them.
-- KEYS: claimed (or "-", if the queue is on another server), revoked stamps, which server this is, then the records
-- ARGV: record prefix, prefix of groups, prefix of open relations, ms for which a message may come back that was claimed
--       before Redis lost what it was told last, then per job: claim, claim it was taken over from or "", deadline in ms or
--       "", relation ("": it joins nobody), fingerprint, the id under which it is kept if its own names another job, number
--       of words, then that many words: field, value, ... of a new record
-- Returns per job {verdict, attempts, what is known as JSON, question, tries, deaths, deadline ms, now ms, deaths alone, waiting
-- rows, attempts, when the request was sent whose worker died (ms or ""), 1 if a request may have been forgotten,
-- what note_success.lua noted, 1 if it was revoked by a stamp};
-- verdict is
--   run        go on
--   ended      it has its outcome, and its record follows as field, value, ...; ack it
--   reused     its id has another fingerprint: it is another job. The record of the first one follows
--   duplicate  another living claim holds the same job; ack this copy
--   joined     another job waits for the same relation, and the record keeps the message; ack it
local claimed, revoked = KEYS[1], KEYS[2]
local names = {job = ARGV[1], joined = ARGV[2], open = ARGV[3]}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- A server that was restarted, or took over from another one, may lack the last second: the intent of a request and its
-- outcome alike. Jobs that were there before may have been sent, and nobody knows.
local function last_loss()
  local info = redis.pcall('INFO', 'server')
  local id = type(info) == 'string' and string.match(info, 'run_id:(%x+)')
  local f = redis.call('HMGET', KEYS[3], 'id', 'changed_at')
  if not id or id == f[1] then return tonumber(f[2] or '') end -- without the right to INFO nothing is noticed
  redis.call('HSET', KEYS[3], 'id', id)
  if not f[1] then return nil end
  redis.call('HSET', KEYS[3], 'changed_at', now)
  return now
end
local lost_at = last_loss()

local function is_forgotten(first_seen)
  if not lost_at then return 0 end
  if first_seen then return first_seen <= lost_at and 1 or 0 end
  return now <= lost_at + tonumber(ARGV[4]) and 1 or 0 -- its record may be what was lost
end

local function held_by_another(other, claim, from)
  return other and other ~= '' and other ~= claim and other ~= from and claimed ~= '-'
    and redis.call('HEXISTS', claimed, other) == 1
end

local function with_record(verdict, record)
  return {verdict, unpack(redis.call('HGETALL', record))}
end

-- Join the job that waits for the same relation, or be the one that others join.
local function find_group(id, relation, claim)
  local first = redis.call('GET', names.open .. relation)
  if first == id then return false end
  local entry = first and may_be_joined(names.job .. first) and redis.call('HGET', claimed, claim)
  if not entry then
    redis.call('SET', names.open .. relation, id)
    return false
  end
  join(names, id, first, entry)
  return true
end

local function is_revoked(stamps)
  for _, stamp in ipairs(stamps and cjson.decode(stamps) or {}) do
    if redis.call('ZSCORE', revoked, stamp) then return 1 end
  end
  return 0
end

local function admit(record, claim, from, expires, relation, fingerprint, own_id, words)
  local id = string.sub(record, #names.job + 1)
  local f = redis.call('HMGET', record, 'status', 'claim', 'first_seen', 'not_after', 'account', 'outcome', 'joined', 'leads',
    'sent_at', 'fingerprint')
  local status, first_seen = f[1], f[3]
  if f[10] and f[10] ~= fingerprint then
    redis.call('HSET', record, 'reused_by', own_id)
    return with_record('reused', record)
  end
  if status == 'ended' then
    if not f[5] then redis.call('HSET', record, unpack(words)) end -- revoked before anybody had seen it
    -- cancelled while its message was queued: only now is the message gone, and the record may go some time
    if f[6] == 'cancelled' then redis.call('EXPIRE', record, 691200, 'NX') end
    return with_record('ended', record)
  end
  if f[7] and redis.call('EXISTS', names.joined .. f[7]) == 1 then return {'joined'} end
  if held_by_another(f[2], claim, from) then return {'duplicate'} end
  if not f[5] then
    redis.call('HSET', record, unpack(words)) -- a stranger's job, seen for the first time
    f[4] = redis.call('HGET', record, 'not_after')
  end
  if status == 'sent' then
    -- somebody sent it and left no answer: it may have removed the link, and it may have killed its worker
    redis.call('HSET', record, 'in_doubt', 1, 'died_at', redis.call('HGET', record, 'sent_at') or now)
    redis.call('HINCRBY', record, 'deaths', 1)
    if redis.call('HGET', record, 'alone') == '1' then redis.call('HINCRBY', record, 'lone_deaths', 1) end
  end
  local forgotten = is_forgotten(tonumber(first_seen or ''))
  first_seen = tonumber(first_seen) or now
  local deadline = string.format('%.0f', latest_start(first_seen, f[4], expires))
  redis.call('HSET', record, 'claim', claim, 'status', 'queued', 'deadline', deadline, 'first_seen', first_seen)
  if relation ~= '' and not f[8] and not f[9] and find_group(id, relation, claim) then return {'joined'} end
  f = redis.call('HMGET', record, 'attempts', 'known', 'question', 'tries', 'deaths', 'lone_deaths', 'waiting',
    'history', 'died_at', 'succeeded', 'stamps')
  return {'run', tonumber(f[1]) or 0, f[2] or '[]', tonumber(f[3]) or 0, f[4] or '{}', tonumber(f[5]) or 0,
          deadline, now, tonumber(f[6]) or 0, f[7] or '', f[8] or '', f[9] or '', forgotten, f[10] or '', is_revoked(f[11])}
end

local out, at = {}, 5
for i = 4, #KEYS do
  local size = tonumber(ARGV[at + 6])
  out[#out + 1] = admit(KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5],
    {unpack(ARGV, at + 7, at + 6 + size)})
  at = at + 7 + size
end
return out
