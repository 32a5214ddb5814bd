-- The set of dead letters and its index, for scripts that add to it, take from it, or look things up in it.
--   unlinker:dead                             sorted set: job id -> serial number, which rises with the time of the end
--   unlinker:dead:bits:DIMENSION=VALUE:N      bitmap: which of the serial numbers from N * SEGMENT on have that value
--   unlinker:dead:ids                         sorted set without scores: "p" or "c", id, ":", serial number
--   unlinker:dead:totals                      hash: DIMENSION=VALUE -> how many
-- A million letters take 125 kB per dimension, and any filter is a BITOP. Ids of records are too many for bitmaps.
local DEAD, DEAD_SEGMENT = 'unlinker:dead', 8192

local function dead_bits(value, segment) return DEAD .. ':bits:' .. value .. ':' .. segment end

-- all of a member of unlinker:dead:ids but its serial number
local function dead_id(side, id) return side .. string.rep('0', 20 - #id) .. id .. ':' end

local function dead_member(id, serial) return id .. string.format('%016.0f', serial) end

-- what a letter is found by: its values, and the ids of parent and child
local function dead_values(job, record)
  local f = redis.call('HMGET', record, 'relationtype', 'account', 'run', 'evidence', 'parentid', 'childid', 'redrives')
  local evidence = f[4] and cjson.decode(f[4]) or {}
  local values = {'all='}
  local function add(dimension, value)
    if value and value ~= '' and value ~= cjson.null then
      if type(value) == 'number' then value = string.format('%.0f', value) end
      values[#values + 1] = dimension .. '=' .. value
    end
  end
  add('relationtype', f[1])
  add('account', f[2])
  add('reason', evidence.reason)
  add('code', evidence.code)
  add('redrives', f[7] or '0')
  -- a chunk that belongs to no run names itself; nobody looks for its one or two letters by that
  if f[3] and f[3] ~= job and string.sub(job, 1, #f[3] + 1) ~= f[3] .. ':' then add('run', f[3]) end
  return values, f[5], f[6]
end

local function dead_add(job, record)
  local serial = redis.call('INCR', DEAD .. ':serial')
  local segment = math.floor(serial / DEAD_SEGMENT)
  redis.call('ZADD', DEAD, serial, job)
  local values, parent, child = dead_values(job, record)
  for _, value in ipairs(values) do
    redis.call('SETBIT', dead_bits(value, segment), serial % DEAD_SEGMENT, 1)
    redis.call('HINCRBY', DEAD .. ':totals', value, 1)
  end
  if parent then redis.call('ZADD', DEAD .. ':ids', 0, dead_member(dead_id('p', parent), serial)) end
  if child then redis.call('ZADD', DEAD .. ':ids', 0, dead_member(dead_id('c', child), serial)) end
end

-- Returns whether it was there.
local function dead_remove(job, record)
  local serial = tonumber(redis.call('ZSCORE', DEAD, job) or nil)
  if not serial then return false end
  local segment = math.floor(serial / DEAD_SEGMENT)
  redis.call('ZREM', DEAD, job)
  local values, parent, child = dead_values(job, record)
  for _, value in ipairs(values) do
    local key = dead_bits(value, segment)
    redis.call('SETBIT', key, serial % DEAD_SEGMENT, 0)
    if redis.call('BITPOS', key, 1) == -1 then redis.call('DEL', key) end
    if redis.call('HINCRBY', DEAD .. ':totals', value, -1) <= 0 then redis.call('HDEL', DEAD .. ':totals', value) end
  end
  if parent then redis.call('ZREM', DEAD .. ':ids', dead_member(dead_id('p', parent), serial)) end
  if child then redis.call('ZREM', DEAD .. ':ids', dead_member(dead_id('c', child), serial)) end
  return true
end
