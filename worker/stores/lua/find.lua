-- Look for a message by words in it, in a part of a queue.
-- KEYS: queue list   ARGV: first and last place, then the words, one of which it has
-- Returns {how many messages were looked at, the message or ""}.
local found = redis.pcall('LRANGE', KEYS[1], ARGV[1], ARGV[2])
if found.err then return {0, ''} end -- a key of another type is no queue
for _, message in ipairs(found) do
  for i = 3, #ARGV do
    if string.find(message, ARGV[i], 1, true) then return {#found, message} end
  end
end
return {#found, ''}
