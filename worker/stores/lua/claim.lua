-- Claim up to n messages: first what a dead worker left behind, then what is due, then the queues in their order.
-- KEYS: claimed, leases, claim number, delayed, junk, then the lists of the queues that are consumed; what a dead worker left
-- behind or is due of another queue goes back to that
-- ARGV: owner, lease in ms, n, largest message in bytes, how many of the n may come from the bulk queue
-- Returns {claim, message, claim it was taken over from or "", list} for each. Nothing is decoded here, so no message can make
-- the script fail half-way; what is no message for us is put aside by the worker that looks at it.
local claimed, leases, number, delayed, junk = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local owner, lease, wanted = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local out, bulk = {}, tonumber(ARGV[5])

local consumed = {}
for i = 6, #KEYS do consumed[KEYS[i]] = true end

-- Whether the entry is of a queue that is consumed here; if not, it waits there for who does.
local function is_ours(entry)
  local at = string.find(entry, '\n', 1, true)
  local list = string.sub(entry, 1, at - 1)
  if not consumed[list] then redis.call('RPUSH', list, string.sub(entry, at + 1)) end
  return consumed[list]
end

local function is_bulk(entry) return string.sub(entry, 1, 4) == 'bulk' end

local function keep(entry, from)
  if is_bulk(entry) then bulk = bulk - 1 end
  local claim = owner .. ':' .. redis.call('INCR', number)
  redis.call('HSET', claimed, claim, entry)
  redis.call('ZADD', leases, now + lease, claim)
  local at = string.find(entry, '\n', 1, true)
  out[#out + 1] = {claim, string.sub(entry, at + 1), from, string.sub(entry, 1, at - 1)}
end

for _, old in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, wanted)) do
  local entry = redis.call('HGET', claimed, old)
  if not entry or bulk > 0 or not is_bulk(entry) then
    if entry and is_ours(entry) then keep(entry, old) end
    redis.call('HDEL', claimed, old)
    redis.call('ZREM', leases, old)
  end
end

if #out < wanted then
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, wanted - #out)) do
    if bulk > 0 or not is_bulk(entry) then
      if is_ours(entry) then keep(entry, '') end
      redis.call('ZREM', delayed, entry)
    end
  end
end

for i = 6, #KEYS do
  local room = wanted - #out
  if is_bulk(KEYS[i]) then room = math.min(room, bulk) end
  if room <= 0 then break end
  local found = redis.pcall('LRANGE', KEYS[i], -room, -1)
  if not found.err and #found > 0 then
    for j = #found, 1, -1 do
      if #found[j] > tonumber(ARGV[4]) then
        redis.call('LPUSH', junk, cjson.encode({at = tonumber(time[1]), why = 'larger than ' .. ARGV[4] .. ' bytes',
          queue = KEYS[i], message = string.sub(found[j], 1, 1000)}))
      else
        keep(KEYS[i] .. '\n' .. found[j], '')
      end
    end
    redis.call('LTRIM', KEYS[i], 0, -#found - 1)
  end
end
return out
