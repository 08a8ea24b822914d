-- Second or minute bars. A row is an array, positions as in processors/parts.py:
--  1 day      2-5 order of the latest bar (start, 0, 0, receipt), 6 greatest accumulated volume
--  7-10 order of the bar that gave the official open, 11 that open
-- 12-15 order of the first bar, 16 its open      17-20 order of the first regular bar, 21 its open
-- 22-27 high and low of pre, regular and post     28-33 the same of bars that have left the ring
-- 34 end of the latest bar, 35-39 its open, high, low, close, volume      40 the latest bar as it came
-- entries: {{table key, ring key prefix, length of the ring (ms), bar, ...}, ...}, one group a kind of bar; a bar is
-- {symbol, day, session 0-2, start, end, receipt, open, high, low, close, volume, accumulated, official open, bar as it came}
--
-- A bar sent again replaces the earlier one of its start, so the last bars of each symbol are kept in a ring by start.
-- What a newer bar pushes out of the ring can no longer be corrected: its extremes settle.
local function raise(row, j, high, low)
  if not (high <= row[j]) then row[j] = high end
  if not (low >= row[j + 1]) then row[j + 1] = low end
end

-- The extremes of a session anew from what is settled and what the ring holds: after a correction took one away.
local function rederive(row, ring, session)
  local j = 22 + 2 * session
  row[j], row[j + 1] = row[j + 6], row[j + 7]
  local bars = redis.call('HVALS', ring)
  for i = 1, #bars do
    local bar = cmsgpack.unpack(bars[i])
    if bar[3] == session and bar[2] == row[1] then raise(row, j, bar[5], bar[6]) end
  end
end

local function merge(group)
  local KEY, RING, LENGTH = group[1], group[2], group[3]
  local rows = {}
  for i = 4, #group do
    local bar = group[i]
    local symbol, day, session, start, receipt = bar[1], bar[2], bar[3], bar[4], bar[6]
    local row = rows[symbol]
    if not row then
      local kept = redis.call('HGET', KEY, symbol)
      row = kept and cmsgpack.unpack(kept) or {0}
      rows[symbol] = row
      changed[#changed + 1] = symbol
    end
    local ring = RING .. symbol
    if day > row[1] then
      for j = 2, 39 do row[j] = NAN end
      row[1] = day
      row[40] = ''
      redis.call('DEL', ring)
    end
    if day == row[1] then
      -- Bars of any start have a place of their own; one a whole ring later takes it.
      local slot = start % LENGTH
      local high, low = 22 + 2 * session, 23 + 2 * session
      local order = {start, 0, 0, receipt}
      local kept = redis.call('HGET', ring, slot)
      local old = kept and cmsgpack.unpack(kept)
      local counts = true
      if old and old[1] == start then
        counts = receipt > old[4]
      elseif old and old[1] > start then
        raise(row, 28 + 2 * session, bar[8], bar[9])
        raise(row, high, bar[8], bar[9])
        old = false
        slot = nil
      elseif old then
        raise(row, 28 + 2 * old[3], old[5], old[6])
      end
      if counts then
        if slot then
          redis.call('HSET', ring, slot, cmsgpack.pack({start, day, session, receipt, bar[8], bar[9]}))
        end
        if old and old[1] == start and
           ((old[5] == row[high] and bar[8] < old[5]) or (old[6] == row[low] and bar[9] > old[6])) then
          rederive(row, ring, session)
        else
          raise(row, high, bar[8], bar[9])
        end
      end
      if not (row[2] == row[2]) or newer(order, 1, row, 2) then
        row[2], row[3], row[4], row[5] = start, 0, 0, receipt
        row[34], row[35], row[36], row[37], row[38], row[39] = bar[5], bar[7], bar[8], bar[9], bar[10], bar[11]
        row[40] = bar[14]
      end
      if not (bar[12] <= row[6]) and bar[12] == bar[12] then row[6] = bar[12] end
      if bar[13] == bar[13] and (not (row[7] == row[7]) or newer(order, 1, row, 7)) then
        row[7], row[8], row[9], row[10], row[11] = start, 0, 0, receipt, bar[13]
      end
      -- The earliest start, and of its versions the one received last.
      if not (start >= row[12]) or (start == row[12] and receipt > row[15]) then
        row[12], row[13], row[14], row[15], row[16] = start, 0, 0, receipt, bar[7]
      end
      if session == 1 and (not (start >= row[17]) or (start == row[17] and receipt > row[20])) then
        row[17], row[18], row[19], row[20], row[21] = start, 0, 0, receipt, bar[7]
      end
    end
  end
  for symbol, row in pairs(rows) do
    redis.call('HSET', KEY, symbol, cmsgpack.pack(row))
    redis.call('EXPIRE', RING .. symbol, 345600)
  end
end

for i = 1, #entries do merge(entries[i]) end
return finish()
