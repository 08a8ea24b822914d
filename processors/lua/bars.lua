-- Second or minute bars. A row is an array, positions as in processors/parts.py (BAR_COLUMNS):
--  1 day     2 start of the latest bar, 3 its receipt     4 greatest accumulated volume
--  5 start of the bar that gave the official open, 6 its receipt, 7 that open
--  8-10 start of the first bar, its receipt, its open     11-13 the same of the first regular bar
-- 14-19 high and low of pre, regular and post     20-25 the same of bars that have left the ring
-- then, as they came, the figures of the latest bar: end, open, high, low, close, volume, mean price, the day's, mean size
-- entries: {group, ...}, one a kind of bar: {table key, key of the newest bars, kind, length of a chunk (ms),
-- {symbol, ...}, {bar as it came, ...}}; then the names of the chunks; figures of each bar: BAR_FIGURES, group after group
--
-- A bar sent again replaces the earlier one of its start, so each symbol's last bars are kept whole in a ring (rings.lua),
-- as they stand among the figures (parts.STORED_BAR). A chunk never lies in two sessions. What a newer chunk pushes out
-- can no longer be corrected: its extremes settle, and its bars become one.
local pack, unpack_, floor, sub = struct.pack, struct.unpack, math.floor, string.sub
local ROW, FIGURES, BAR = '<' .. string.rep('d', 25), '<' .. string.rep('d', 10), '<' .. string.rep('d', 10)
local ROW_BYTES, FIGURES_BYTES, BAR_AT, BAR_BYTES, LATEST_AT = 200, 120, 32, 80, 48
local LATEST, EXTREMES, SETTLED = 26, 14, 20
local COVERED = 'tw:ring:covered'
local NO_LATEST = string.rep(pack('<d', NAN), 9)
-- Kind and chunk length of the group at hand.
local KIND, SPAN

local function raise(row, j, high, low)
  if not (high <= row[j]) then row[j] = high end
  if not (low >= row[j + 1]) then row[j + 1] = low end
end

-- Raise extremes by all bars of a chunk.
local function raise_by(row, j, chunk)
  for at = HEAD_BYTES + 33, #chunk, BAR_BYTES do raise(row, j, unpack_('<dd', chunk, at)) end
end

-- The extremes of a session anew from what is settled and what the ring holds: after a correction took one away.
local function rederive(row, symbol, session)
  local j = EXTREMES + 2 * session
  row[j], row[j + 1] = row[j + 6], row[j + 7]
  for i = 0, CHUNKS - 1 do
    local chunk = redis.call('GET', ring_key(KIND, symbol, i))
    if chunk and select(2, unpack_(HEAD, chunk)) == session then raise_by(row, j, chunk) end
  end
end

local function folded(one, other)
  local first, last, ends, open, high, low, close, volume, notional, mean = unpack_(BAR, one)
  local FIRST, LAST, ENDS, OPEN, HIGH, LOW, CLOSE, VOLUME, NOTIONAL, MEAN = unpack_(BAR, other)
  if FIRST < first then first, open = FIRST, OPEN end
  if LAST > last then last, ends, close, mean = LAST, ENDS, CLOSE, MEAN end
  return pack(BAR, first, last, ends, open, math.max(high, HIGH), math.min(low, LOW), close,
              volume + VOLUME, notional + NOTIONAL, mean)
end

-- Bars that cannot be corrected any more, as one (parts.STORED_BAR): start of the first, of the last, and for the mean
-- price what they add up to, in ten-thousandths of a dollar: sums of whole numbers are the same in any order.
local function settle_bars(row, symbol, session, bars, from)
  local first, last, ends, open, close, mean
  local high, low, volume, notional = NAN, NAN, 0, 0
  for at = from, #bars, BAR_BYTES do
    local start, _, e, o, h, l, c, v, vw, a = unpack_(BAR, bars, at)
    if not first or start < first then first, open = start, o end
    if not last or start > last then last, ends, close, mean = start, e, c, a end
    if not (h <= high) then high = h end
    if not (l >= low) then low = l end
    volume = volume + v
    if v > 0 then notional = notional + floor(v * vw * 10000 + 0.5) end
  end
  if not first then return end
  log_record(KIND, symbol, pack(BAR, first, last, ends, open, high, low, close, volume, notional, mean), folded)
  raise(row, SETTLED + 2 * session, high, low)
end

local function append_bar(row, symbol, session, key, number, bar)
  if redis.call('APPEND', key, bar) < HEAD_BYTES + MOST_BARS * BAR_BYTES then return end
  settle_bars(row, symbol, session, redis.call('GET', key), HEAD_BYTES + 1)
  begin_chunk(key, number, session, '')
end

-- Put a bar into the ring, and its extremes into the row.
local function place(row, symbol, session, start, receipt, high, low, bar)
  local number = floor(start / SPAN)
  local key = ring_key(KIND, symbol, number)
  local j = EXTREMES + 2 * session
  -- One that is newer than every bar so far, in the chunk of the latest, takes nothing's place.
  if start > row[2] and floor(row[2] / SPAN) == number then
    append_bar(row, symbol, session, key, number, bar)
    return raise(row, j, high, low)
  end
  local chunk = redis.call('GET', key)
  local there, its_session = -1, nil
  if chunk then there, its_session = unpack_(HEAD, chunk) end
  if there > number then
    settle_bars(row, symbol, session, bar, 1)
  elseif there < number then
    if chunk then settle_bars(row, symbol, its_session, chunk, HEAD_BYTES + 1) end
    if row[2] < start then trim(ring_key(KIND, symbol, floor(row[2] / SPAN))) end
    begin_chunk(key, number, session, bar)
  else
    local at = find_bar(chunk, sub(bar, 1, 8), BAR_BYTES)
    if not at then
      append_bar(row, symbol, session, key, number, bar)
    else
      local old_receipt, _, _, old_high, old_low = unpack_('<ddddd', chunk, at + 8)
      if receipt <= old_receipt then return end
      redis.call('SETRANGE', key, at - 1, bar)
      if (old_high == row[j] and high < old_high) or (old_low == row[j + 1] and low > old_low) then
        return rederive(row, symbol, session)
      end
    end
  end
  return raise(row, j, high, low)
end

-- With its first bar of a day a symbol needs none that are put together from trades.
local function cover(symbol, day)
  if day <= tonumber(redis.call('HGET', COVERED, symbol) or '0') then return end
  redis.call('HSET', COVERED, symbol, string.format('%d', day))
  local trades = redis.call('HGET', 'tw:table:trades', symbol)
  if trades and unpack_('<d', trades) <= day then forget('T', symbol) end
end

local from = 1
local function merge(group)
  local KEY, NEWEST, symbols, bars = group[1], group[2], group[5], group[6]
  KIND, SPAN = group[3], group[4]
  local kept, rows, newest, changed = read(KEY, symbols), {}, {}, {}
  for i = 1, #symbols do
    local symbol = symbols[i]
    local day, session, accumulated, official, start, receipt, _, open, high, low = unpack_(FIGURES, ARGV[11], from)
    local bar = sub(ARGV[11], from + BAR_AT, from + BAR_AT + BAR_BYTES - 1)
    local latest = from + LATEST_AT
    from = from + FIGURES_BYTES
    local row = rows[symbol]
    if not row then
      row = {0}
      if kept[i] then
        row = {unpack_(ROW, kept[i])}
        row[LATEST] = sub(kept[i], ROW_BYTES + 1)
      end
      rows[symbol] = row
      changed[#changed + 1] = symbol
    end
    if day > row[1] then
      if row[1] > 0 then forget(KIND, symbol) end
      cover(symbol, day)
      for j = 2, 25 do row[j] = NAN end
      row[LATEST] = NO_LATEST
      row[1] = day
    end
    if day == row[1] then
      place(row, symbol, session, start, receipt, high, low, bar)
      if not (start <= row[2]) or (start == row[2] and receipt > row[3]) then
        row[2], row[3] = start, receipt
        row[LATEST] = sub(ARGV[11], latest, from - 1)
        newest[symbol] = bars[i]
      end
      if not (accumulated <= row[4]) and accumulated == accumulated then row[4] = accumulated end
      if official == official and (not (start <= row[5]) or (start == row[5] and receipt > row[6])) then
        row[5], row[6], row[7] = start, receipt, official
      end
      -- The earliest start, and of its versions the one received last.
      if not (start >= row[8]) or (start == row[8] and receipt > row[9]) then
        row[8], row[9], row[10] = start, receipt, open
      end
      if session == 1 and (not (start >= row[11]) or (start == row[11] and receipt > row[12])) then
        row[11], row[12], row[13] = start, receipt, open
      end
    end
  end
  local flat = {}
  for symbol, row in pairs(rows) do
    flat[#flat + 1] = symbol
    flat[#flat + 1] = pack(ROW, unpack(row, 1, 25)) .. row[LATEST]
  end
  write(KEY, flat)
  flat = {}
  for symbol, bar in pairs(newest) do
    flat[#flat + 1] = symbol
    flat[#flat + 1] = bar
  end
  write(NEWEST, flat)
  mark(KEY, changed)
end

for i = 1, #entries - 1 do merge(entries[i]) end
mark('chunks', entries[#entries])
return finish()
