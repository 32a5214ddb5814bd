-- Claim up to n messages: first what a dead worker left behind, then what is due, then what older workers could not read, then
-- the queues in their order.
-- KEYS: claimed, leases, claim number, delayed, newer, then the lists of the queues that are consumed; what waits elsewhere of
-- another queue goes back to that
-- ARGV: owner, lease in ms, n, largest message in bytes, how many of the n may come from the bulk queue, the newest payload
--       version that is read here, what a message begins with that was cut
-- Returns {claim, message, claim it was taken over from or "", list} for each. Nothing is decoded here, so no message can make
-- the script fail half-way; what is no job is rejected by the worker that looks at it. Of what is too large, and could drown a
-- worker, only both ends are kept: the headers, which name the job, come last.
local claimed, leases, number, delayed, newer = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local owner, lease, wanted, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
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
  local serial = redis.call('INCR', number)
  if serial == 1 then -- an empty server: nobody may take a claim for one that this worker holds from before
    serial = tonumber(time[1]) * 1000000 + tonumber(time[2])
    redis.call('SET', number, string.format('%.0f', serial))
  end
  local claim = owner .. ':' .. string.format('%.0f', serial)
  redis.call('HSET', claimed, claim, entry)
  redis.call('ZADD', leases, now + lease, claim)
  local at = string.find(entry, '\n', 1, true)
  out[#out + 1] = {claim, string.sub(entry, at + 1), from, string.sub(entry, 1, at - 1)}
end

-- a lease that ends further ahead than any does was given before Redis' clock went back; whoever lives renews it
for _, other in ipairs(redis.call('ZRANGEBYSCORE', leases, now + 10 * lease, '+inf', 'LIMIT', 0, wanted)) do
  redis.call('ZADD', leases, now + lease, other)
end

for _, old in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, wanted)) do
  local entry = redis.call('HGET', claimed, old)
  if not entry or bulk > 0 or not is_bulk(entry) then
    if entry and is_ours(entry) then keep(entry, old) end
    redis.call('HDEL', claimed, old)
    redis.call('ZREM', leases, old)
  end
end

local function take(waiting, highest)
  if #out >= wanted then return end
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', highest, 'LIMIT', 0, wanted - #out)) do
    if bulk > 0 or not is_bulk(entry) then
      if is_ours(entry) then keep(entry, '') end
      redis.call('ZREM', waiting, entry)
    end
  end
end

take(delayed, now)
take(newer, ARGV[6])

for i = 6, #KEYS do
  local room = wanted - #out
  if is_bulk(KEYS[i]) then room = math.min(room, bulk) end
  if room <= 0 then break end
  local found = redis.pcall('LRANGE', KEYS[i], -room, -1)
  if not found.err and #found > 0 then
    for j = #found, 1, -1 do
      local message = found[j]
      if #message > most then
        message = ARGV[7] .. #message .. ' bytes\n' .. string.sub(message, 1, 1000) .. '\n...\n' .. string.sub(message, -3000)
      end
      keep(KEYS[i] .. '\n' .. message, '')
    end
    redis.call('LTRIM', KEYS[i], 0, -#found - 1)
  end
end
return out
