-- "These jobs are about to be sent": the last look before a request, and the intent that a crash leaves behind.
-- KEYS: halts, journal, then the records
-- ARGV: the jobs for the journal, then per job: account, claim, 1 if it runs alone
-- Returns one word per job: go, ended (cancelled jobs too), lost (another worker has it), halted, expired, or
-- ask (expired, but an open question must still be answered: read back, delete nothing).
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

local out, stays, runs = {}, {}, {}
for i = 3, #KEYS do
  local account, claim, alone = ARGV[3 * i - 7], ARGV[3 * i - 6], ARGV[3 * i - 5]
  local f = redis.call('HMGET', KEYS[i], 'status', 'claim', 'deadline', 'in_doubt', 'carries', 'run', 'row')
  local word = 'go'
  if f[1] == 'ended' and not f[5] then word = 'ended'
  elseif f[2] ~= claim then word = 'lost'
  elseif is_halted(account) then word = 'halted'
  elseif f[3] and tonumber(f[3]) < now then word = f[4] == '1' and 'ask' or 'expired' end
  if word == 'go' then
    redis.call('HSET', KEYS[i], 'status', 'sent', 'sent_at', now, 'alone', alone)
    if f[6] then runs[tostring(i - 3)] = {f[6], tonumber(f[7] or nil)} end
  else
    stays[#stays + 1] = i - 3
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
