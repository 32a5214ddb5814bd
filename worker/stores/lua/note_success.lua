-- A delete was clearly answered with success, and is about to be read back: whoever takes over from a dead worker knows it.
-- KEYS: records   ARGV: per record: claim, row of a chunk, or "" for a job
for i, record in ipairs(KEYS) do
  local f = redis.call('HMGET', record, 'claim', 'succeeded')
  if f[1] == ARGV[2 * i - 1] then redis.call('HSET', record, 'succeeded', (f[2] or '') .. ARGV[2 * i] .. ',') end
end
return #KEYS
