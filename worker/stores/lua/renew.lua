-- Renew the leases of living claims, or of grants in use, on Redis TIME.
-- KEYS: leases   ARGV: lease in ms, then the claims
-- Returns those that are no longer ours (another worker took them over, or their lease ran out).
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lost = {}
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], 'XX', now + tonumber(ARGV[1]), ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
