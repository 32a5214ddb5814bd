-- with run_counts
-- Look after a run: end it when it is through, stop it when too much of it fails, else say which chunks may be fed.
-- KEYS: run, open runs, slot of its account, pace, rows
-- ARGV: run, who looks, ms that nobody else feeds it, most rows on their way, fewest, seconds to keep it once it is over
-- Returns {state}, or {state, first chunk, how many} for chunks that may be fed.
-- The run is a hash: state, why, account, action, rows, chunks, first (rows of the first chunk), size (of the others), next
-- (chunk to be fed next), canary (rows that must go well first), max_failure_rate, and "n:OUTCOME" counters, which are
-- written by finish_rows.lua together with the rows' bytes, and counted anew when nothing has moved for a while.
local WINDOW = 200 -- rows; the failure rate is looked at over as many at least
local STILL = 3000 -- ms without a row that ended, after which the rows are counted anew
local GIVEN_UP = 45000 -- ms without a row that ended, after which a cancelled run is over: longer than a request takes
local f = redis.call('HMGET', KEYS[1], 'state', 'rows', 'chunks', 'first', 'size', 'next', 'canary', 'canary_passed',
  'max_failure_rate', 'mark_done', 'mark_failed', 'rate', 'rate_at', 'rate_done', 'feeder', 'feeder_until', 'pace_done',
  'moved_done', 'moved_at', 'counted_at', 'steered_at')
local state = f[1]
if not state then
  redis.call('SREM', KEYS[2], ARGV[1])
  return {''}
end
local rows, chunks, first, size, next_chunk = tonumber(f[2]), tonumber(f[3]), tonumber(f[4]), tonumber(f[5]), tonumber(f[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function counted()
  local counts = redis.call('HMGET', KEYS[1], 'n:unlinked', 'n:already_absent', 'n:restored', 'n:already_present',
    'n:cancelled', 'n:dead', 'n:expired')
  local all = 0
  for i = 1, 7 do all = all + (tonumber(counts[i]) or 0) end
  return all, (tonumber(counts[6]) or 0) + (tonumber(counts[7]) or 0)
end

local done, failed = counted()
local fed = next_chunk == 0 and 0 or math.min(rows, first + (next_chunk - 1) * size)

-- How long no row has ended, in ms. A clock that went back begins anew.
local function still_for()
  local since = math.max(tonumber(f[19]) or 0, tonumber(f[21]) or 0)
  if tonumber(f[18]) == done and since <= now then return now - since end
  redis.call('HSET', KEYS[1], 'moved_done', done, 'moved_at', now)
  return 0
end

local still = (state == 'running' or state == 'cancelled') and still_for() or 0
if still > STILL and done < fed and (tonumber(f[20]) or 0) <= (tonumber(f[19]) or 0) then -- once each time
  count_rows(KEYS[1], ARGV[1], chunks)
  redis.call('HSET', KEYS[1], 'counted_at', now)
  done, failed = counted()
end

local function note_pace(last)
  local before = tonumber(f[17]) or -1
  if not last and done - before < math.max(1, rows / 300) then return end
  redis.call('RPUSH', KEYS[4], string.format('[%.0f,%.0f,%.0f]', now, done, failed))
  redis.call('LTRIM', KEYS[4], -2000, -1)
  redis.call('HSET', KEYS[1], 'pace_done', done)
end

local function over(final)
  note_pace(true)
  redis.call('HSET', KEYS[1], 'state', final, 'ended_at', now)
  redis.call('SREM', KEYS[2], ARGV[1])
  if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end
  for _, key in ipairs({KEYS[1], KEYS[4], KEYS[5]}) do redis.call('EXPIRE', key, ARGV[6]) end
  return {final}
end

local function stop(why)
  redis.call('HSET', KEYS[1], 'state', 'stopped', 'why', why, 'stopped_at', now)
  note_pace(true)
  return {'stopped'}
end

if state == 'cancelled' then return (done >= fed or still > GIVEN_UP) and over('cancelled') or {state} end
if state ~= 'running' then return {state} end
note_pace(false)

local function share(bad, all) return string.format('%.1f %% (%.0f of %.0f)', 100 * bad / all, bad, all) end
local bound = tonumber(f[9]) or 1
local canary = math.min(tonumber(f[7]) or 0, rows)
if canary > 0 and not f[8] then
  if done < canary then
    if next_chunk > 0 then return {state} end
  elseif failed / done > bound then
    return stop(share(failed, done) .. ' of the canary failed')
  else
    redis.call('HSET', KEYS[1], 'canary_passed', 1)
  end
end
local mark_done, mark_failed = tonumber(f[10]) or 0, tonumber(f[11]) or 0
if done - mark_done >= WINDOW or (done >= rows and done > mark_done) then
  local bad, all = failed - mark_failed, done - mark_done
  if bad / all > bound and done < rows then return stop(share(bad, all) .. ' of the last rows failed') end
  redis.call('HSET', KEYS[1], 'mark_done', done, 'mark_failed', failed)
end
if done >= rows then
  count_rows(KEYS[1], ARGV[1], chunks) -- its rows have the last word
  done, failed = counted()
  if done >= rows then return over('done') end
end
if next_chunk >= chunks then return {state} end

-- as many on their way as end in two seconds: enough for the workers, and no account's chunks lie before another's
local rate, rate_at = tonumber(f[12]) or 0, tonumber(f[13]) or 0
if now - rate_at >= 500 or now < rate_at then
  rate = rate_at == 0 and 0 or (done - (tonumber(f[14]) or 0)) * 1000 / (now - rate_at)
  redis.call('HSET', KEYS[1], 'rate', rate, 'rate_at', now, 'rate_done', done)
end
local allowed = math.max(tonumber(ARGV[5]), math.min(tonumber(ARGV[4]), 2 * rate))
local room = math.floor((allowed - (fed - done)) / size)
if canary > 0 and next_chunk == 0 then room = 1 end
if room < 1 then return {state} end
local until_then = (tonumber(f[16]) or 0) - now
if f[15] ~= ARGV[2] and until_then > 0 and until_then <= tonumber(ARGV[3]) then return {state} end
redis.call('HSET', KEYS[1], 'feeder', ARGV[2], 'feeder_until', now + tonumber(ARGV[3]))
return {state, next_chunk, math.min(room, chunks - next_chunk)}
