-- Cut the old end of the journal off, and count it.
-- KEYS: journal, counters   ARGV: the id of the first entry to stay
-- Returns how many entries went.
local dropped = redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[1])
if dropped > 0 then redis.call('HINCRBY', KEYS[2], 'journal_dropped', dropped) end
return dropped
