-- "These jobs are about to be sent": the last look before a request, and the intent that a crash leaves behind.
-- KEYS: halts, journal, revoked stamps, then the records
-- ARGV: the jobs for the journal, then per job: account, claim, 1 if it runs alone
-- Returns one word per job: go, ended (cancelled jobs too), lost (another worker has it), cancelled (one of its stamps was
-- revoked), halted, expired, or ask (expired, but an open question must still be answered: read back, delete nothing).
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local all_halted = redis.call('HEXISTS', KEYS[1], '*') == 1
local halted = {}

local function is_halted(account)
  if halted[account] == nil then
    halted[account] = all_halted or redis.call('HEXISTS', KEYS[1], account) == 1
  end
  return halted[account]
end

local function is_revoked(stamps)
  for _, stamp in ipairs(stamps and cjson.decode(stamps) or {}) do
    if redis.call('ZSCORE', KEYS[3], stamp) then return true end
  end
  return false
end

local out, stays, runs = {}, {}, {}
for i = 4, #KEYS do
  local account, claim, alone = ARGV[3 * i - 10], ARGV[3 * i - 9], ARGV[3 * i - 8]
  local f = redis.call('HMGET', KEYS[i], 'status', 'claim', 'deadline', 'in_doubt', 'leads', 'run', 'row', 'stamps')
  local word = 'go'
  if f[1] == 'ended' then word = 'ended'
  elseif f[2] ~= claim then word = 'lost'
  elseif is_revoked(f[8]) then word = 'cancelled'
  elseif is_halted(account) then word = 'halted'
  elseif f[3] and tonumber(f[3]) < now then word = f[4] == '1' and 'ask' or 'expired' end
  if word == 'go' then
    redis.call('HSET', KEYS[i], 'status', 'sent', 'sent_at', now, 'alone', alone)
    if f[5] then redis.call('HSETNX', KEYS[i], 'first_sent_at', now) end -- those who joined it ask for it
    if f[6] then runs[tostring(i - 4)] = {f[6], tonumber(f[7] or nil)} end
  else
    stays[#stays + 1] = i - 4
  end
  out[#out + 1] = word
end
if #stays < #out then
  local entry = {'jobs', ARGV[1]}
  local function add(name, value) entry[#entry + 1], entry[#entry + 2] = name, value end
  if #stays > 0 then add('not', table.concat(stays, ' ')) end
  if next(runs) then add('runs', cjson.encode(runs)) end -- of replayed rows: only their records know
  redis.call('XADD', KEYS[2], '*', unpack(entry))
end
return out
