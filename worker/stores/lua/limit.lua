-- Ask for one request of an account: when may it go? (GCRA: one virtual clock per account, one tick per request.)
-- KEYS: limiter, in flight, halts
-- ARGV: account, grant, tick in us, requests allowed in flight, lease of a grant in ms, furthest reservation in us,
--       1 if this server did not know the script: it has restarted, and may have forgotten places it gave away
-- Returns {go, us to wait, start, next free} with the place reserved, or {word, us} with nothing reserved; word is
-- halted, full, or wait.
local limiter, flight, halts = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
if redis.call('HEXISTS', halts, ARGV[1]) == 1 or redis.call('HEXISTS', halts, '*') == 1 then return {'halted', 0} end
redis.call('ZREMRANGEBYSCORE', flight, '-inf', now / 1000)
if redis.call('ZCARD', flight) >= tonumber(ARGV[4]) then return {'full', 0} end
local f = redis.call('HMGET', limiter, 'free_at', 'paused_until', 'slowness')
if ARGV[7] == '1' and f[1] then -- wait until all of those are used
  f[2] = math.max(tonumber(f[2]) or 0, now + tonumber(ARGV[6]))
  redis.call('HSET', limiter, 'paused_until', string.format('%.0f', f[2]))
end
local start = math.max(now, tonumber(f[1]) or 0, tonumber(f[2]) or 0)
if start - now > tonumber(ARGV[6]) then return {'wait', start - now} end
local free_at = string.format('%.0f', start + tonumber(ARGV[3]) * (tonumber(f[3]) or 1))
redis.call('HSET', limiter, 'free_at', free_at)
redis.call('ZADD', flight, now / 1000 + tonumber(ARGV[5]), ARGV[2])
return {'go', start - now, string.format('%.0f', start), free_at}
