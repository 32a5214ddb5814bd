-- The intents of rows of chunks, as intend.lua has them for jobs.
-- KEYS: halts, journal, then per chunk: record, rows, the run that fed it or "-"
-- ARGV: per chunk: account, claim, 1 if it runs alone, its rows for the journal, number of spans, then first row and length of each span
-- Returns one word per chunk: go, ended, lost, cancelled, paused (by an operator or a brake), halted, or expired (then
-- nothing of it may be deleted); or a list of rows, if somebody who had the chunk before has ended these meanwhile: then
-- nothing is noted, and the others are to be asked for again.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local FINAL = '[^%zs]'
local out, at = {}, 1

local function ended_rows(rows, at, spans)
  local found = {}
  for span = 1, spans do
    local first = tonumber(ARGV[at + 3 + 2 * span])
    local states = redis.call('GETRANGE', rows, first, first + tonumber(ARGV[at + 4 + 2 * span]) - 1)
    local place = string.find(states, FINAL)
    while place do
      found[#found + 1] = first + place - 1
      place = string.find(states, FINAL, place + 1)
    end
  end
  return found
end

for i = 3, #KEYS, 3 do
  local record, rows = KEYS[i], KEYS[i + 1]
  local run = KEYS[i + 2] ~= '-' and redis.call('HGET', KEYS[i + 2], 'state')
  local account, claim, spans = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 4])
  local f = redis.call('HMGET', record, 'status', 'claim', 'deadline')
  local word = 'go'
  if f[1] == 'ended' then word = 'ended'
  elseif f[2] ~= claim then word = 'lost'
  elseif run == 'cancelled' then word = 'cancelled'
  elseif run == 'paused' or run == 'stopped' then word = 'paused'
  elseif redis.call('HEXISTS', KEYS[1], account) == 1 or redis.call('HEXISTS', KEYS[1], '*') == 1 then word = 'halted'
  elseif f[3] and tonumber(f[3]) < now then word = 'expired' end
  local ended = word == 'go' and ended_rows(rows, at, spans) or {}
  if #ended > 0 then
    word = ended
  elseif word == 'go' then
    redis.call('HSET', record, 'status', 'sent', 'sent_at', now, 'alone', ARGV[at + 2])
    for span = 1, spans do
      local first, length = ARGV[at + 3 + 2 * span], tonumber(ARGV[at + 4 + 2 * span])
      redis.call('SETRANGE', rows, first, string.rep('s', length))
    end
    redis.call('XADD', KEYS[2], '*', 'rows', ARGV[at + 3])
  end
  at = at + 5 + 2 * spans
  out[#out + 1] = word
end
return out
