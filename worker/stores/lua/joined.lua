-- Jobs that wait for the same relation as another one. A group is a list of job ids; its head is the job that runs for all.
-- The head's record has `leads`, the others' have `joined`: the group's name, which is the id of its first head. The others
-- have their queue and message in their records until they end, so that any of them can go on when the head ends early.
-- Members that have ended stay in the list and are passed over.
local WEEK = 604800000 -- ms; design promise 7
-- what a record knows of requests that were sent
local SENT = {'in_doubt', 'sent_at', 'first_sent_at', 'known', 'died_at', 'succeeded'}

local function latest_start(first_seen, not_after, expires)
  local latest = first_seen + WEEK
  return math.min(latest, tonumber(not_after or '') or latest, tonumber(expires or '') or latest)
end

-- Once a request was sent, a later job may be about a relation made anew: it is a job of its own. A job that waits for its
-- eta is none to wait for either.
local function may_be_joined(record)
  local f = redis.call('HMGET', record, 'status', 'sent_at')
  return (f[1] == 'queued' or f[1] == 'parked') and not f[2]
end

-- names: the prefixes of records (job), groups (joined) and open relations (open). entry: queue, line feed, message.
local function join(names, id, first, entry)
  local head = names.job .. first
  local group = redis.call('HGET', head, 'leads')
  if not group then
    group = first
    redis.call('HSET', head, 'leads', group)
    redis.call('RPUSH', names.joined .. group, first)
  end
  redis.call('HSET', names.job .. id, 'joined', group, 'message', entry)
  redis.call('RPUSH', names.joined .. group, id)
end

-- The head of a group ended early: the next member goes on, and knows what was sent for the group. Returns its id, or false.
local function promote(names, group)
  local list = names.joined .. group
  local before = redis.call('HMGET', names.job .. redis.call('LPOP', list), unpack(SENT))
  while true do
    local id = redis.call('LINDEX', list, 0)
    if not id then return false end
    local record = names.job .. id
    local entry = redis.call('HGET', record, 'message')
    if entry then
      redis.call('HSET', record, 'leads', group)
      redis.call('HDEL', record, 'joined', 'message')
      for place, name in ipairs(SENT) do
        if before[place] then redis.call('HSET', record, name, before[place]) end
      end
      local at = string.find(entry, '\n', 1, true)
      redis.call('RPUSH', string.sub(entry, 1, at - 1), string.sub(entry, at + 1))
      return id
    end
    redis.call('LPOP', list)
  end
end

-- A job has ended without the others of its group, if it has one: who goes on is who waits for the relation now.
local function leave_group(names, id, relation, group)
  local open = names.open .. relation
  local next_one = group and promote(names, group)
  if redis.call('GET', open) ~= id then return end
  if next_one then redis.call('SET', open, next_one) else redis.call('DEL', open) end
end
