-- Pause, resume or cancel a run.
-- KEYS: run   ARGV: its new state, why, by whom, max_failure_rate or "", the states from which it may go there
-- Returns {1 if it moved, the state it is in now}.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {0, ''} end
local may = false
for i = 5, #ARGV do may = may or ARGV[i] == state end
if not may then return {0, state} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'why', ARGV[2], 'steered_by', ARGV[3], 'steered_at', now)
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'max_failure_rate', ARGV[4]) end
if state == 'stopped' and ARGV[1] == 'running' then -- what went wrong so far was looked at by whoever resumes
  local f = redis.call('HMGET', KEYS[1], 'n:unlinked', 'n:already_absent', 'n:restored', 'n:already_present',
    'n:cancelled', 'n:dead', 'n:expired')
  local done = 0
  for i = 1, 7 do done = done + (tonumber(f[i]) or 0) end
  redis.call('HSET', KEYS[1], 'mark_done', done, 'mark_failed', (tonumber(f[6]) or 0) + (tonumber(f[7]) or 0))
  redis.call('HSET', KEYS[1], 'canary_passed', 1)
end
return {1, ARGV[1]}
