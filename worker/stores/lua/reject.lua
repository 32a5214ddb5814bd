-- Keep a claimed message that is no job, with the reason, and let the rest go on. Of too many, or too much, the oldest are
-- dropped, and counted.
-- KEYS: claimed, leases, rejected, its totals
-- ARGV: claim, most messages, most bytes, why, job id or "", task or "", 1 if the message was cut
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local at = string.find(entry, '\n', 1, true)
local message = string.sub(entry, at + 1)
redis.call('XADD', KEYS[3], '*', 'queue', string.sub(entry, 1, at - 1), 'why', ARGV[4], 'id', ARGV[5], 'task', ARGV[6],
  'cut', ARGV[7], 'message', message)
redis.call('HINCRBY', KEYS[4], 'came', 1)
local bytes, number = redis.call('HINCRBY', KEYS[4], 'bytes', #message), redis.call('XLEN', KEYS[3])
while number > 0 and (number > tonumber(ARGV[2]) or bytes > tonumber(ARGV[3])) do
  local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
  redis.call('XDEL', KEYS[3], oldest[1])
  bytes = redis.call('HINCRBY', KEYS[4], 'bytes', -#oldest[2][12])
  redis.call('HINCRBY', KEYS[4], 'dropped', 1)
  number = number - 1
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
