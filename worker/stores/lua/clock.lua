-- Look whether Redis' clock went back; if so, let what waits wait as long as it would have.
-- KEYS: latest time seen, delayed, then strings with a time to live that say who is at something
-- Returns {now in ms, ms by which it went back, or 0}. A job whose eta is to come is delayed again by whoever gets it.
local NOTICEABLE = 1000 -- ms
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local latest = tonumber(redis.call('GET', KEYS[1]) or '') or now
redis.call('SET', KEYS[1], string.format('%.0f', now))
local back = latest - now
if back < NOTICEABLE then return {now, 0} end
local entries = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for i = 1, #entries, 2 do
  redis.call('ZADD', KEYS[2], tonumber(entries[i + 1]) - back, entries[i])
end
for i = 3, #KEYS do
  local left = redis.call('PTTL', KEYS[i])
  if left > 0 then redis.call('PEXPIRE', KEYS[i], math.max(1, left - back)) end
end
return {now, back}
