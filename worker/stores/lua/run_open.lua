-- with run_counts
-- Start a run whose rows are stored.
-- KEYS: run, runs, open runs, slot of its account, rows, and a lease if it takes one to start it
-- ARGV: run, number of its chunks, token of the lease or "", field, value, ...
-- Returns started, exists (it was started before), missing (its rows are not all stored), lost (the lease is another's),
-- or the run that has the account.
local RUN_PREFIX = 'unlinker:run:'
if KEYS[6] and redis.call('GET', KEYS[6]) ~= ARGV[3] then return 'lost' end
local state = redis.call('HGET', KEYS[1], 'state')
if state and state ~= 'loading' then return 'exists' end
if redis.call('HLEN', KEYS[5]) ~= tonumber(ARGV[2]) then return 'missing' end
local holder = redis.call('GET', KEYS[4])
if holder and holder ~= ARGV[1] and redis.call('SISMEMBER', KEYS[3], holder) == 1 then
  -- KEYS does not name its record: unlinker:run:HOLDER. One that is cancelled, or gone, sends nothing more
  local held = redis.call('HGET', RUN_PREFIX .. holder, 'state')
  if held and held ~= 'cancelled' then return holder end
  if not held then redis.call('SREM', KEYS[3], holder) end
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('SET', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[5])
redis.call('HSET', KEYS[1], 'state', 'running', 'next', 0, 'started_at', now, unpack(ARGV, 4))
count_rows(KEYS[1], ARGV[1], tonumber(ARGV[2]))
return 'started'
