-- First look at a claimed job: make or refresh its record, tell what is known of it.
-- KEYS: record, claimed (or the record again, if the queue is on another server)
-- ARGV: claim, claim it was taken over from or "", deadline in ms or "", then field, value, ... of a new record
-- Returns {verdict, attempts, in_doubt, question, tries, deaths, deadline ms, now ms, deaths alone}; verdict is one of
--   run        go on
--   ended      it has its outcome; ack it
--   duplicate  another living claim holds the same job; ack this copy
local record, claim, from = KEYS[1], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local known = redis.call('HMGET', record, 'status', 'claim', 'carries', 'first_seen')
if known[1] == 'ended' and not known[3] then return {'ended'} end
local other = known[2]
if other and other ~= '' and other ~= claim and other ~= from and KEYS[2] ~= record
  and redis.call('HEXISTS', KEYS[2], other) == 1 then
  return {'duplicate'}
end
if not known[4] then
  redis.call('HSET', record, 'first_seen', now)
  known[4] = now
end
for i = 4, #ARGV, 2 do redis.call('HSETNX', record, ARGV[i], ARGV[i + 1]) end
if known[1] == 'sent' then
  -- somebody sent it and left no answer: it may have removed the link, and it may have killed its worker
  redis.call('HSET', record, 'in_doubt', 1)
  redis.call('HINCRBY', record, 'deaths', 1)
  if redis.call('HGET', record, 'alone') == '1' then redis.call('HINCRBY', record, 'lone_deaths', 1) end
end
local latest = tonumber(known[4]) + 604800000 -- seven days, design promise 7
local wanted = tonumber(redis.call('HGET', record, 'not_after') or '') or latest
local deadline = math.min(latest, wanted, tonumber(ARGV[3]) or latest)
redis.call('HSET', record, 'claim', claim, 'status', 'queued', 'deadline', string.format('%.0f', deadline))
local f = redis.call('HMGET', record, 'attempts', 'in_doubt', 'question', 'tries', 'deaths', 'lone_deaths')
return {'run', tonumber(f[1]) or 0, tonumber(f[2]) or 0, tonumber(f[3]) or 0, f[4] or '{}', tonumber(f[5]) or 0,
        string.format('%.0f', deadline), now, tonumber(f[6]) or 0}
