-- The counters of a run, from what its rows say. They are written together with the rows' bytes (finish_rows.lua); but a
-- row may have got its byte while the run was not known here: Redis had lost its data, and the run was started anew.
local ROWS_PREFIX = 'unlinker:rows:'
local LETTERS = { -- worker.unlinking.chunk.RowState
  unlinked = '[uUvV]', already_absent = '[aAbB]', restored = 'r', already_present = 'p',
  dead = '[dD]', expired = '[eE]', cancelled = '[cC]',
}

local function count_rows(run, id, chunks)
  local counts = {}
  for name in pairs(LETTERS) do counts[name] = 0 end
  for chunk = 0, chunks - 1 do
    local states = redis.call('GET', ROWS_PREFIX .. id .. '.' .. chunk)
    if states then
      for name, letters in pairs(LETTERS) do
        local _, found = string.gsub(states, letters, '')
        counts[name] = counts[name] + found
      end
    end
  end
  for name, count in pairs(counts) do redis.call('HSET', run, 'n:' .. name, count) end
end
