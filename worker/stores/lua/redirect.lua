-- Move a message from one queue into another, if it still lies there.
-- KEYS: from, to   ARGV: the message
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
