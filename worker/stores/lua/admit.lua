-- First look at claimed jobs: make or refresh their records, tell what is known of them.
-- KEYS: claimed (or "-", if the queue is on another server), which server this is, then the records
-- ARGV: ms for which a message may come back that was claimed before Redis lost what it was told last, then per job: claim, claim it was taken over from or "", deadline in ms or "", number of words, then that many words:
--       field, value, ... of a new record
-- Returns per job {verdict, attempts, what is known as JSON, question, tries, deaths, deadline ms, now ms, deaths alone, waiting
-- rows, attempts, when the request was sent whose worker died (ms or ""), 1 if a request may have been forgotten,
-- what note_success.lua noted};
-- verdict is
--   run        go on
--   ended      it has its outcome; ack it
--   duplicate  another living claim holds the same job; ack this copy
local claimed = KEYS[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- A server that was restarted, or took over from another one, may lack the last second: the intent of a request and its
-- outcome alike. Jobs that were there before may have been sent, and nobody knows.
local function last_loss()
  local info = redis.pcall('INFO', 'server')
  local id = type(info) == 'string' and string.match(info, 'run_id:(%x+)')
  local f = redis.call('HMGET', KEYS[2], 'id', 'changed_at')
  if not id or id == f[1] then return tonumber(f[2] or '') end -- without the right to INFO nothing is noticed
  redis.call('HSET', KEYS[2], 'id', id)
  if not f[1] then return nil end
  redis.call('HSET', KEYS[2], 'changed_at', now)
  return now
end
local lost_at = last_loss()

local function is_forgotten(first_seen)
  if not lost_at then return 0 end
  if first_seen then return first_seen <= lost_at and 1 or 0 end
  return now <= lost_at + tonumber(ARGV[1]) and 1 or 0 -- its record may be what was lost
end

local function held_by_another(other, claim, from)
  return other and other ~= '' and other ~= claim and other ~= from and claimed ~= '-'
    and redis.call('HEXISTS', claimed, other) == 1
end

local function admit(record, claim, from, expires, words)
  local f = redis.call('HMGET', record, 'status', 'claim', 'carries', 'first_seen', 'not_after', 'account', 'outcome')
  local status, first_seen = f[1], f[4]
  if status == 'ended' and not f[3] then
    -- taken back while its message was queued: only now is the message gone, and the record may go some time
    if f[7] == 'cancelled' then redis.call('EXPIRE', record, 691200, 'NX') end
    return {'ended'}
  end
  if held_by_another(f[2], claim, from) then return {'duplicate'} end
  if not f[6] then
    redis.call('HSET', record, unpack(words)) -- a stranger's job, seen for the first time
    f[5] = redis.call('HGET', record, 'not_after')
  end
  if status == 'sent' then
    -- somebody sent it and left no answer: it may have removed the link, and it may have killed its worker
    redis.call('HSET', record, 'in_doubt', 1, 'died_at', redis.call('HGET', record, 'sent_at') or now)
    redis.call('HINCRBY', record, 'deaths', 1)
    if redis.call('HGET', record, 'alone') == '1' then redis.call('HINCRBY', record, 'lone_deaths', 1) end
  end
  local forgotten = is_forgotten(tonumber(first_seen or ''))
  first_seen = tonumber(first_seen) or now
  local latest = first_seen + 604800000 -- seven days, design promise 7
  local deadline = math.min(latest, tonumber(f[5] or '') or latest, tonumber(expires) or latest)
  deadline = string.format('%.0f', deadline)
  redis.call('HSET', record, 'claim', claim, 'status', 'queued', 'deadline', deadline, 'first_seen', first_seen)
  if not status then return {'run', 0, '[]', 0, '{}', 0, deadline, now, 0, '', '', '', forgotten, ''} end
  f = redis.call('HMGET', record, 'attempts', 'known', 'question', 'tries', 'deaths', 'lone_deaths', 'waiting',
    'history', 'died_at', 'succeeded')
  return {'run', tonumber(f[1]) or 0, f[2] or '[]', tonumber(f[3]) or 0, f[4] or '{}', tonumber(f[5]) or 0,
          deadline, now, tonumber(f[6]) or 0, f[7] or '', f[8] or '', f[9] or '', forgotten, f[10] or ''}
end

local out, at = {}, 2
for i = 3, #KEYS do
  local size = tonumber(ARGV[at + 3])
  out[#out + 1] = admit(KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 2], {unpack(ARGV, at + 4, at + 3 + size)})
  at = at + 4 + size
end
return out
