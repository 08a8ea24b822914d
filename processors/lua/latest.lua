-- Newest wins, by symbol: quotes, halts, and whatever is kept as it came.
-- entries: {table key, counts as a change of the row (boolean), {symbol, time, finer, sequence, receipt, payload}, ...}
local key, is_row = entries[1], entries[2]
for i = 3, #entries do
  local entry = entries[i]
  local kept = redis.call('HGET', key, entry[1])
  if not kept or newer(entry, 2, cmsgpack.unpack(kept), 1) then
    redis.call('HSET', key, entry[1], cmsgpack.pack({entry[2], entry[3], entry[4], entry[5], entry[6]}))
    if is_row then changed[#changed + 1] = entry[1] end
  end
end
return finish()
