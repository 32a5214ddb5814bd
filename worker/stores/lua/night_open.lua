-- Begin a night, or note one that was skipped or missed: once for each slot, whoever else tries.
-- KEYS: night, nights of the policy, open nights, handled slots, policies, lease of the policy
-- ARGV: token of the lease, policy, night's id, the night as JSON, its slot in ms, 1 if it is open, schedule and slot as
--       JSON ("": the schedule did not ask for it), how many nights are kept, prefix of nights
-- Returns opened, exists (the slot has its night), busy (another night is open) or lost (the lease is another's).
local night, nights, open, handled, policies, lease = unpack(KEYS)
local token, policy, id, document, slot, is_open, dealt_with, kept, prefix = unpack(ARGV)
if redis.call('GET', lease) ~= token then return 'lost' end
if redis.call('EXISTS', night) == 1 then
  if dealt_with ~= '' then redis.call('HSET', handled, policy, dealt_with) end
  return 'exists'
end
if is_open == '1' and redis.call('HEXISTS', open, policy) == 1 then return 'busy' end
redis.call('SET', night, document)
redis.call('ZADD', nights, slot, id)
redis.call('SADD', policies, policy)
if is_open == '1' then redis.call('HSET', open, policy, id) end
if dealt_with ~= '' then redis.call('HSET', handled, policy, dealt_with) end
local current = redis.call('HGET', open, policy)
for _, old in ipairs(redis.call('ZRANGE', nights, 0, -1 - tonumber(kept))) do
  if old ~= current then
    redis.call('DEL', prefix .. old, prefix .. old .. ':plan')
    redis.call('ZREM', nights, old)
  end
end
return 'opened'
