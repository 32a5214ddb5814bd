-- with dead_index, joined
-- Take wishes in: the record first; then join the job that waits for the same relation, or put the message in the queue.
-- KEYS: queue list
-- ARGV: record prefix, prefix of groups, open relation prefix, seconds to keep the record of a letter, then per wish: id,
--       relation ("": nobody joins), message, id of the dead letter it replays (or ""), number of words, and that many
--       words: field, value, ... of the record
-- Returns per wish "queued", "exists", "joined", "gone" (the letter was replayed or discarded before), or "reused": the id names
-- another job; the message is queued all the same, for the worker that claims it to make a dead letter of it.
local queue, prefix = KEYS[1], ARGV[1]
local names = {job = ARGV[1], joined = ARGV[2], open = ARGV[3]}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- The letter leaves in the same script that queues the new job, so that it is moved exactly once.
local function take_letter(letter, id)
  if not dead_remove(letter, prefix .. letter) then return false end
  redis.call('HSET', prefix .. letter, 'replayed_as', id, 'replayed_at', now)
  redis.call('EXPIRE', prefix .. letter, ARGV[4])
  return true
end

local function fingerprint_of(words)
  for i = 1, #words, 2 do
    if words[i] == 'fingerprint' then return words[i + 1] end
  end
end

local function enqueue(id, relation, message, letter, words)
  local record, open = prefix .. id, names.open .. relation
  local f = redis.call('HMGET', record, 'status', 'fingerprint')
  if f[1] then
    if not f[2] or f[2] == fingerprint_of(words) then return 'exists' end
    redis.call('LPUSH', queue, message)
    return 'reused'
  end
  if letter ~= '' and not take_letter(letter, id) then return 'gone' end
  redis.call('HSET', record, 'status', 'queued', 'first_seen', now, unpack(words))
  local first = relation ~= '' and redis.call('GET', open)
  if first and may_be_joined(prefix .. first) then
    join(names, id, first, queue .. '\n' .. message)
    return 'joined'
  end
  if relation ~= '' then redis.call('SET', open, id) end
  redis.call('LPUSH', queue, message)
  return 'queued'
end

local out, at = {}, 5
while at <= #ARGV do
  local size = tonumber(ARGV[at + 4])
  out[#out + 1] = enqueue(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], {unpack(ARGV, at + 5, at + 4 + size)})
  at = at + 5 + size
end
return out
