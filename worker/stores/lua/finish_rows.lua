-- with dead_index
-- Rows end, once and for all: the first outcome of a row stands.
-- KEYS: counters, journal, then per batch: the rows' string, the run that fed it or "-"
-- ARGV: record prefix, then per batch: seconds to keep rows, number of spans, and for each of them: first row, length, byte,
--       outcome, evidence (a, r or ""); then number of dead letters, and for each of them: row, id, number of words, field, value, ...
-- Returns the number of rows that this call ended.
local counters, journal = KEYS[1], KEYS[2]
local ROWS = 'unlinker:rows:'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- what a dead letter has from its chunk; the last if the chunk's id names another job, those before it if it replays a letter
local CARRIED = {'first_seen', 'deadline', 'replay_of', 'replays', 'redrives', 'reused_of'}
local FINAL = '[^%zs]'
local ended, at = 0, 2

local function is_final(rows, row)
  local byte = redis.call('GETRANGE', rows, row, row)
  return byte ~= '' and byte ~= '\0' and byte ~= 's'
end

local function finish(rows, first, length, byte)
  if not string.find(redis.call('GETRANGE', rows, first, first + length - 1), FINAL) then
    redis.call('SETRANGE', rows, first, string.rep(byte, length))
    return length
  end
  local written = 0
  for row = first, first + length - 1 do
    if not is_final(rows, row) then
      redis.call('SETRANGE', rows, row, byte)
      written = written + 1
    end
  end
  return written
end

for i = 3, #KEYS, 2 do
  local rows, run = KEYS[i], KEYS[i + 1]
  local keep, spans = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  if run ~= '-' and redis.call('EXISTS', run) == 0 then run = '-' end
  -- dead letters come after the spans, and are of rows that this call ends
  local letters_at = at + 5 * spans
  local letters = tonumber(ARGV[letters_at])
  local words_at = letters_at + 1
  local chunk = string.sub(rows, #ROWS + 1)
  local known = letters > 0 and redis.call('HMGET', ARGV[1] .. chunk, unpack(CARRIED)) or {}
  for _ = 1, letters do
    local size = tonumber(ARGV[words_at + 2])
    if not is_final(rows, tonumber(ARGV[words_at])) then
      local record = ARGV[1] .. ARGV[words_at + 1]
      redis.call('HSET', record, 'status', 'ended', 'ended_at', now, unpack(ARGV, words_at + 3, words_at + 2 + size))
      for place, name in ipairs(CARRIED) do
        if known[place] then redis.call('HSET', record, name, known[place]) end
      end
      dead_add(ARGV[words_at + 1], record)
    end
    words_at = words_at + 3 + size
  end
  local told = {}
  for _ = 1, spans do
    local written = finish(rows, tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2])
    if written > 0 then
      redis.call('HINCRBY', counters, ARGV[at + 3], written)
      if run ~= '-' then redis.call('HINCRBY', run, 'n:' .. ARGV[at + 3], written) end
    end
    told[#told + 1] = ARGV[at] .. ',' .. ARGV[at + 1] .. ',' .. ARGV[at + 2] .. ',' .. ARGV[at + 4]
    ended = ended + written
    at = at + 5
  end
  if #told > 0 then
    redis.call('XADD', journal, '*', 'chunk', chunk, 'spans', table.concat(told, ';'))
  end
  redis.call('EXPIRE', rows, keep)
  at = words_at
end
return ended
