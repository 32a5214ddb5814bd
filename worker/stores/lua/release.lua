-- A request is over, or its grant was not used. The limiter learns from how it went.
-- KEYS: limiter, in flight
-- ARGV: grant, how (ok, slow, unused), tick in us, pause in us (for slow), start and next free of the grant
-- slow: half the rate, at most once a second, and the pause the API asked for. ok: a tenth back.
local limiter = KEYS[1]
redis.call('ZREM', KEYS[2], ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local f = redis.call('HMGET', limiter, 'free_at', 'slowness', 'slowed_at')
local slowness = tonumber(f[2]) or 1
if ARGV[2] == 'ok' then
  if slowness > 1 then redis.call('HSET', limiter, 'slowness', math.max(1, slowness * 0.9)) end
elseif ARGV[2] == 'slow' then
  if now - (tonumber(f[3]) or 0) > math.max(1000000, tonumber(ARGV[3]) * slowness) then
    redis.call('HSET', limiter, 'slowness', math.min(16, slowness * 2), 'slowed_at', string.format('%.0f', now))
  end
  local pause = now + tonumber(ARGV[4])
  if pause > (tonumber(redis.call('HGET', limiter, 'paused_until')) or 0) then
    redis.call('HSET', limiter, 'paused_until', string.format('%.0f', pause))
  end
elseif ARGV[2] == 'unused' and f[1] == ARGV[6] then
  redis.call('HSET', limiter, 'free_at', ARGV[5]) -- nobody has reserved behind it, so the place can be had again
end
return 1
