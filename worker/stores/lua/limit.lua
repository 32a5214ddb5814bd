-- Ask for requests of an account: when may they go? (GCRA: one virtual clock per account, one tick per request.)
-- KEYS: limiter, in flight, halts
-- ARGV: account, grant, tick in us, requests allowed in flight, lease of a grant in ms, furthest reservation in us,
--       how many are wanted, 1 if this server did not know the script: it has restarted, and may have forgotten places
-- Returns {word, us to wait, start, next free, start, next free, ...} with places reserved for the grants ARGV[2]:1,
-- ARGV[2]:2, ... if the word is go, and none if it is halted, full, wait, or jumped. Only the first may have to wait.
-- jumped: what was noted lies further ahead than it can, so Redis' clock went back; it was put right, and nothing more
-- is given until all that was given before is used.
local limiter, flight, halts = KEYS[1], KEYS[2], KEYS[3]
local IMMEDIATE = 1000 -- us
local LONGEST_PAUSE = 300000000 -- us, as in worker.onoffice.codes
local SLOWEST = 16 -- ticks, as in release.lua
local LEASES = 10 -- a place in flight that is held for longer than so many leases was noted by another clock
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
if redis.call('HEXISTS', halts, ARGV[1]) == 1 or redis.call('HEXISTS', halts, '*') == 1 then return {'halted', 0} end
redis.call('ZREMRANGEBYSCORE', flight, '-inf', now / 1000)
for _, held in ipairs(redis.call('ZRANGEBYSCORE', flight, now / 1000 + LEASES * ARGV[5], '+inf')) do
  redis.call('ZADD', flight, now / 1000 + tonumber(ARGV[5]), held) -- whoever lives renews it
end
local room = tonumber(ARGV[4]) - redis.call('ZCARD', flight)
if room <= 0 then return {'full', 0} end
local f = redis.call('HMGET', limiter, 'free_at', 'paused_until', 'slowness')
if ARGV[8] == '1' and f[1] then -- wait until all of those are used
  f[2] = math.max(tonumber(f[2]) or 0, now + tonumber(ARGV[6]))
  redis.call('HSET', limiter, 'paused_until', string.format('%.0f', f[2]))
end
local horizon = tonumber(ARGV[6])
local furthest = now + horizon + IMMEDIATE + SLOWEST * tonumber(ARGV[3])
if (tonumber(f[1]) or 0) > furthest or (tonumber(f[2]) or 0) > furthest + LONGEST_PAUSE then
  redis.call('HSET', limiter, 'free_at', string.format('%.0f', now + horizon))
  redis.call('HDEL', limiter, 'paused_until', 'slowed_at')
  return {'jumped', horizon}
end
local tick = tonumber(ARGV[3]) * (tonumber(f[3]) or 1)
local start = math.max(now, tonumber(f[1]) or 0, tonumber(f[2]) or 0)
if start - now > horizon then return {'wait', start - now} end
local out, grants = {'go', start - now}, 0
repeat
  grants = grants + 1
  redis.call('ZADD', flight, now / 1000 + tonumber(ARGV[5]), ARGV[2] .. ':' .. grants)
  out[#out + 1] = string.format('%.0f', start)
  start = start + tick
  out[#out + 1] = string.format('%.0f', start)
until grants >= math.min(room, tonumber(ARGV[7])) or start - now > IMMEDIATE
redis.call('HSET', limiter, 'free_at', out[#out])
return out
