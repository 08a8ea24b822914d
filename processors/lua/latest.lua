-- Newest wins, by symbol and table: quotes, bands and halts, and whatever is kept as it came.
-- entries: {{table key, counts as a change of the row (boolean), symbol, event, symbol, event, ...}, ...}; each symbol
-- once a table; an event stands behind its order (processors/parts.py), so that texts compare as events do
for _, entry in ipairs(entries) do
  local symbols, events = {}, {}
  for i = 3, #entry, 2 do
    symbols[#symbols + 1] = entry[i]
    events[#events + 1] = entry[i + 1]
  end
  local newer = keep_newest(entry[1], symbols, events)
  if entry[2] then mark(entry[1], newer) end
end
return finish()
