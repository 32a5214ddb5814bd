-- Take rejected messages out: back into the queue each came from, or away. Each leaves once, whoever else tries.
-- KEYS: rejected, its totals   ARGV: requeued or discarded, then their numbers
-- Returns per number 1, or 0 for what is not there, and for what was cut and so cannot go back.
local out = {}
for i = 2, #ARGV do
  local found, done = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1], 0
  local f = {}
  if found then
    for j = 1, #found[2], 2 do f[found[2][j]] = found[2][j + 1] end
  end
  if found and not (ARGV[1] == 'requeued' and f.cut == '1') then
    if ARGV[1] == 'requeued' then redis.call('LPUSH', f.queue, f.message) end
    redis.call('XDEL', KEYS[1], ARGV[i])
    redis.call('HINCRBY', KEYS[2], 'bytes', -#f.message)
    redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
    done = 1
  end
  out[#out + 1] = done
end
return out
