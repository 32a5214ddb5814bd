-- Move claimed messages of one account, none of them sent, to its parking place, and note it in their records.
-- KEYS: claimed, leases, parked list, accounts with parked messages
-- ARGV: account, record prefix, why, then claim and job id of each
-- May be repeated: a message that was moved is not there any more.
local moved = 0
for i = 4, #ARGV, 2 do
  local claim, record = ARGV[i], ARGV[2] .. ARGV[i + 1]
  local entry = redis.call('HGET', KEYS[1], claim)
  if entry then
    local f = redis.call('HMGET', record, 'claim', 'status')
    if f[1] == claim and f[2] ~= 'ended' then redis.call('HSET', record, 'status', 'parked', 'why', ARGV[3]) end
    redis.call('LPUSH', KEYS[3], entry)
    redis.call('HDEL', KEYS[1], claim)
    redis.call('ZREM', KEYS[2], claim)
    moved = moved + 1
  end
end
if moved > 0 then redis.call('SADD', KEYS[4], ARGV[1]) end
return moved
