-- with dead_index
-- Take dead letters out; each call moves each of them once.
-- ARGV: record prefix, seconds to keep the records ("0": forget them now), then job ids
-- Returns per id 1 if this call took it out, else 0.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local out = {}
for i = 3, #ARGV do
  local record = ARGV[1] .. ARGV[i]
  local was_there = dead_remove(ARGV[i], record)
  if was_there then
    if ARGV[2] == '0' then
      redis.call('DEL', record)
    else
      redis.call('HSET', record, 'discarded_at', now)
      redis.call('EXPIRE', record, ARGV[2])
    end
  end
  out[#out + 1] = was_there and 1 or 0
end
return out
