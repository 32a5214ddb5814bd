-- Put messages that were carried over from the records' server into the queue, but for those of the last portion: whoever
-- carried it may have died before it could take them away there.
-- KEYS: digests of the last portion, queue list   ARGV: the messages, the newest first
local before = {}
for _, digest in ipairs(redis.call('SMEMBERS', KEYS[1])) do before[digest] = true end
redis.call('DEL', KEYS[1])
local pushed = 0
for i = #ARGV, 1, -1 do
  local digest = redis.sha1hex(ARGV[i])
  if not before[digest] then
    redis.call('LPUSH', KEYS[2], ARGV[i])
    pushed = pushed + 1
  end
  redis.call('SADD', KEYS[1], digest)
end
redis.call('EXPIRE', KEYS[1], 86400)
return pushed
