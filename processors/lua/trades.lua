-- Trades, merged by symbol in the worker. A row is an array, positions as in processors/parts.py:
--  1 day                      2-5 order of the last eligible print, 6 its price
--  7-10 order of the first, 11 its price      12-15 order of the first regular print, 16 its price
-- 17 pre high, 18 pre low, 19 regular high, 20 low, 21 post high, 22 low
-- 23 volume, 24 trades, 25 notional (1/10,000 dollar)      26-29 order of the newest print of any kind, 30 that print
-- An entry is {symbol, the same 30 positions}; day 0: nothing but the newest print counts.
local KEY = 'tw:table:trades'
for i = 1, #entries do
  local symbol, new = entries[i][1], entries[i][2]
  local kept = redis.call('HGET', KEY, symbol)
  local row = kept and cmsgpack.unpack(kept)
  if not row then
    row = new
  else
    local newest = newer(new, 26, row, 26) and new or row
    local n26, n27, n28, n29, n30 = newest[26], newest[27], newest[28], newest[29], newest[30]
    if new[1] > row[1] then
      row = new
    elseif new[1] == row[1] and new[1] > 0 then
      -- NaN stands for "none yet": a comparison with it is false, so every one is asked the way that takes the other.
      if new[6] == new[6] and (row[6] ~= row[6] or newer(new, 2, row, 2)) then
        for j = 2, 6 do row[j] = new[j] end
      end
      if new[11] == new[11] and (row[11] ~= row[11] or newer(row, 7, new, 7)) then
        for j = 7, 11 do row[j] = new[j] end
      end
      if new[16] == new[16] and (row[16] ~= row[16] or newer(row, 12, new, 12)) then
        for j = 12, 16 do row[j] = new[j] end
      end
      for j = 17, 21, 2 do
        if not (new[j] <= row[j]) and new[j] == new[j] then row[j] = new[j] end
        if not (new[j + 1] >= row[j + 1]) and new[j + 1] == new[j + 1] then row[j + 1] = new[j + 1] end
      end
      row[23] = row[23] + new[23]
      row[24] = row[24] + new[24]
      row[25] = row[25] + new[25]
    end
    row[26], row[27], row[28], row[29], row[30] = n26, n27, n28, n29, n30
  end
  redis.call('HSET', KEY, symbol, cmsgpack.pack(row))
  changed[#changed + 1] = symbol
end
return finish()
