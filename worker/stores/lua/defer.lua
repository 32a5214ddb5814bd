-- A job that waits: delayed, parked, unverified, or given back as queued. What the next attempt must know is kept.
-- KEYS: record   ARGV: claim, status, attempts, in_doubt, question, tries as JSON, why,
--       what the waiting rows of a chunk must know, as JSON; the attempts so far, as JSON or ""; what is known of the
--       relation and of the requests sent for it, as JSON
-- Returns 1, or 0 when the job has ended or another worker has it. May be repeated: the claim stays until somebody else
-- claims, since whoever repeats it after a lost reply must not believe that another worker has the job, and ack it.
local f = redis.call('HMGET', KEYS[1], 'status', 'claim')
if f[1] == 'ended' or f[2] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'attempts', ARGV[3], 'in_doubt', ARGV[4], 'question', ARGV[5],
  'tries', ARGV[6], 'why', ARGV[7], 'known', ARGV[10], 'died_at', '', 'succeeded', '')
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'waiting', ARGV[8]) end
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'history', ARGV[9]) end
return 1
