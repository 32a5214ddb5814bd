-- Requests are over, or their grants were not used. The limiter learns from how they went.
-- KEYS: limiter, in flight
-- ARGV: tick in us, then per grant: grant, how (ok, slow, unused), pause in us (for slow), its start and next free
-- slow: half the rate, at most once a second, and the pause the API asked for. ok: a tenth back.
local limiter = KEYS[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function slow_down(slowness, pause)
  local f = redis.call('HMGET', limiter, 'slowed_at', 'paused_until')
  local since = now - (tonumber(f[1]) or 0)
  if since < 0 or since > math.max(1000000, tonumber(ARGV[1]) * slowness) then
    redis.call('HSET', limiter, 'slowness', math.min(16, slowness * 2), 'slowed_at', string.format('%.0f', now))
  end
  if now + pause > (tonumber(f[2]) or 0) then
    redis.call('HSET', limiter, 'paused_until', string.format('%.0f', now + pause))
  end
end

for i = 2, #ARGV, 5 do
  local how = ARGV[i + 1]
  redis.call('ZREM', KEYS[2], ARGV[i])
  local f = redis.call('HMGET', limiter, 'slowness', 'free_at')
  local slowness = tonumber(f[1]) or 1
  if how == 'ok' and slowness > 1 then
    redis.call('HSET', limiter, 'slowness', math.max(1, slowness * 0.9))
  elseif how == 'slow' then
    slow_down(slowness, tonumber(ARGV[i + 2]))
  elseif how == 'unused' and f[2] == ARGV[i + 4] then
    redis.call('HSET', limiter, 'free_at', ARGV[i + 3]) -- nobody has reserved behind it: the place can be had again
  end
end
return 1
