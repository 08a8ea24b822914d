-- Newest wins, by symbol: quotes, halts, and whatever is kept as it came.
-- entries: {table key, counts as a change of the row (boolean), symbol, event, symbol, event, ...}; each symbol once; an
-- event stands behind its order (processors/parts.py), so that texts compare as events do
local is_row = entries[2]
local symbols, events = {}, {}
for i = 3, #entries, 2 do
  symbols[#symbols + 1] = entries[i]
  events[#events + 1] = entries[i + 1]
end
local newest = keep_newest(entries[1], symbols, events)
if is_row then changed = newest end
return finish()
