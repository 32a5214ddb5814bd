-- Take the lease of a policy's nights, prolong it, or give it back.
-- KEYS: lease
-- ARGV: token, ms it is to last ("0": give it back), 1 if a free one may be taken
-- Returns 1 when it is held after this (or was given back), else 0.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if not holder and ARGV[3] ~= '1' then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
