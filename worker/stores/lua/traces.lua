-- What is kept of some jobs, for reports: dead letters, and the jobs that replay them.
-- ARGV: record prefix, then job ids
-- Returns per id {status, outcome, evidence, replayed_as, discarded_at}; what is not there is false.
local out = {}
for i = 2, #ARGV do
  out[#out + 1] = redis.call('HMGET', ARGV[1] .. ARGV[i], 'status', 'outcome', 'evidence', 'replayed_as', 'discarded_at')
end
return out
