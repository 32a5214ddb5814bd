-- Take wishes in: the record first; then join the job that waits for the same relation, or put the message in the queue.
-- KEYS: queue list
-- ARGV: record prefix, wishes prefix, open relation prefix, then per wish: id, relation, message, number of words, and that
--       many words: field, value, ... of the record
-- Returns per wish "queued", "exists", or "joined".
local queue, prefix, wishes, open_prefix = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function waits(first)
  local f = redis.call('HMGET', prefix .. first, 'status', 'attempts', 'in_doubt')
  -- once a request is out, a later wish may be about a link made anew: it is a job of its own
  return (f[1] == 'queued' or f[1] == 'delayed' or f[1] == 'parked') and f[3] ~= '1' and (tonumber(f[2]) or 0) == 0
end

local function enqueue(id, relation, message, words)
  local record, open = prefix .. id, open_prefix .. relation
  if redis.call('HEXISTS', record, 'status') == 1 then return 'exists' end
  redis.call('HSET', record, 'status', 'queued', 'first_seen', now, unpack(words))
  local first = redis.call('GET', open)
  if first and waits(first) then
    redis.call('HSET', record, 'joined', first)
    redis.call('RPUSH', wishes .. first, id)
    redis.call('HSET', prefix .. first, 'joined_by', 1)
    return 'joined'
  end
  redis.call('SET', open, id)
  redis.call('LPUSH', queue, message)
  return 'queued'
end

local out, at = {}, 4
while at <= #ARGV do
  local size = tonumber(ARGV[at + 3])
  out[#out + 1] = enqueue(ARGV[at], ARGV[at + 1], ARGV[at + 2], {unpack(ARGV, at + 4, at + 3 + size)})
  at = at + 4 + size
end
return out
