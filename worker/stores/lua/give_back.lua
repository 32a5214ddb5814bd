-- Put claimed messages back where they came from, to be claimed next.
-- KEYS: claimed, leases   ARGV: the claims
-- Returns how many were still ours.
local given = 0
for i = #ARGV, 1, -1 do
  local entry = redis.call('HGET', KEYS[1], ARGV[i])
  if entry then
    local at = string.find(entry, '\n', 1, true)
    redis.call('RPUSH', string.sub(entry, 1, at - 1), string.sub(entry, at + 1))
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
    given = given + 1
  end
end
return given
