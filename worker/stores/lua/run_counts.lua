-- The counters of a run, from what its rows say. They are written together with the rows' bytes (finish_rows.lua); but a
-- row may have got its byte while the run was not known here: Redis had lost its data, and the run was started anew.
local ROWS_PREFIX = 'unlinker:rows:'
local OUTCOME_OF = {u = 'unlinked', U = 'unlinked', a = 'already_absent', A = 'already_absent', r = 'restored',
  p = 'already_present', d = 'dead', e = 'expired', c = 'cancelled'}

local function count_rows(run, id, chunks)
  local counts = {}
  for _, name in pairs(OUTCOME_OF) do counts[name] = 0 end
  for chunk = 0, chunks - 1 do
    local states = redis.call('GET', ROWS_PREFIX .. id .. '.' .. chunk)
    if states then
      for letter, name in pairs(OUTCOME_OF) do
        local _, found = string.gsub(states, letter, '')
        counts[name] = counts[name] + found
      end
    end
  end
  for name, count in pairs(counts) do redis.call('HSET', run, 'n:' .. name, count) end
end
