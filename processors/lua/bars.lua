-- Second or minute bars. A row is an array, positions as in processors/parts.py (BAR_COLUMNS):
--  1 day     2 start of the latest bar, 3 its receipt     4 greatest accumulated volume
--  5 start of the bar that gave the official open, 6 its receipt, 7 that open
--  8-10 start of the first bar, its receipt, its open     11-13 the same of the first regular bar
-- 14-19 high and low of pre, regular and post     20-25 the same of bars that have left the ring
-- then, as they came, the figures of the latest bar: end, open, high, low, close, volume, mean price, the day's, mean size
-- entries: {group, ...}, one a kind of bar: {table key, key of the newest bars, prefix of the ring's chunks, length of a
-- bar (ms), number of chunks, {symbol, ...}, {bar as it came, ...}}; figures of each bar: BAR_FIGURES, group after group
--
-- A bar sent again replaces the earlier one of its start, so each symbol's last bars are kept in a ring of chunks: texts
-- of 60 slots, by start. What a newer chunk pushes out of the ring can no longer be corrected: its extremes settle.
local pack, unpack_, floor = struct.pack, struct.unpack, math.floor
local ROW, FIGURES, HEAD, SLOT = '<' .. string.rep('d', 25), '<' .. string.rep('d', 10), '<dd', '<bddd'
local ROW_BYTES, FIGURES_BYTES, LATEST_BYTES, HEAD_BYTES, SLOT_BYTES, SLOTS = 200, 80, 72, 16, 25, 60
local LATEST = 26
local EXTREMES, SETTLED = 14, 20
local BETWEEN, MOST_BETWEEN = 'between', 3600
local LIFE_S = 345600
local EMPTY = string.rep('\0', SLOT_BYTES * SLOTS)
local NO_LATEST = string.rep(pack('<d', NAN), 9)
-- As texts, so that none is written out for every bar.
local CHUNK, OFFSET = {}, {}
for i = 0, SLOTS - 1 do CHUNK[i], OFFSET[i] = tostring(i), tostring(HEAD_BYTES + SLOT_BYTES * i) end

local function raise(row, j, high, low)
  if not (high <= row[j]) then row[j] = high end
  if not (low >= row[j + 1]) then row[j + 1] = low end
end

-- Raise extremes by the bars of a chunk, of every session or of one, if the chunk is of the row's day.
local function raise_by(row, base, chunk, only)
  if #chunk < HEAD_BYTES or select(2, unpack_(HEAD, chunk)) ~= row[1] then return end
  for at = HEAD_BYTES + 1, #chunk, SLOT_BYTES do
    local session, receipt, high, low = unpack_(SLOT, chunk, at)
    if receipt > 0 and (not only or session == only) then raise(row, base + 2 * session, high, low) end
  end
end

-- The extremes of a session anew from what is settled and what the ring holds: after a correction took one away.
local function rederive(row, ring, chunks, session)
  local j = EXTREMES + 2 * session
  row[j], row[j + 1] = row[j + 6], row[j + 7]
  for i = 0, chunks - 1 do raise_by(row, EXTREMES, redis.call('GET', ring .. i) or '', session) end
  local between = redis.call('HVALS', ring .. BETWEEN)
  for i = 1, #between do
    local its_session, _, high, low = unpack_(SLOT, between[i])
    if its_session == session then raise(row, j, high, low) end
  end
end

-- A bar that takes an earlier one's place, or a free one: whether it does, and whether an extreme may go with the old.
local function replaces(old, row, session, receipt, high, low)
  if not old or #old < SLOT_BYTES then return true, false end
  local _, old_receipt, old_high, old_low = unpack_(SLOT, old)
  local j = EXTREMES + 2 * session
  return receipt > old_receipt,
    old_receipt > 0 and ((old_high == row[j] and high < old_high) or (old_low == row[j + 1] and low > old_low))
end

-- A chunk has its whole length at once: one that grew with each bar would be moved about in memory with each.
local function begin_chunk(key, number, row)
  raise_by(row, SETTLED, redis.call('GET', key) or '')
  redis.call('SET', key, pack(HEAD, number, row[1]) .. EMPTY, 'EX', LIFE_S)
end

-- Bars that begin between two slots are not Massive's own: they have places beside the ring, so many a symbol.
local function place_between(row, ring, chunks, start, session, receipt, high, low)
  local key, field = ring .. BETWEEN, string.format('%d', start)
  local j = EXTREMES + 2 * session
  local old = redis.call('HGET', key, field)
  if not old and redis.call('HLEN', key) >= MOST_BETWEEN then
    raise(row, SETTLED + 2 * session, high, low)
    return raise(row, j, high, low)
  end
  local counts, takes_away = replaces(old, row, session, receipt, high, low)
  if not counts then return end
  redis.call('HSET', key, field, pack(SLOT, session, receipt, high, low))
  redis.call('EXPIRE', key, LIFE_S)
  if takes_away then return rederive(row, ring, chunks, session) end
  return raise(row, j, high, low)
end

-- Put a bar into the ring, and its extremes into the row.
local function place(row, ring, unit, chunks, start, session, receipt, high, low)
  if start % unit ~= 0 then return place_between(row, ring, chunks, start, session, receipt, high, low) end
  local index = start / unit
  local number = floor(index / SLOTS)
  local key, at = ring .. CHUNK[number % chunks], OFFSET[index % SLOTS]
  local slot = pack(SLOT, session, receipt, high, low)
  local j = EXTREMES + 2 * session
  -- The chunk of the latest bar is there; of others the head tells.
  local there = number
  if not (row[2] % unit == 0 and floor(row[2] / unit / SLOTS) == number) then
    local head = redis.call('GETRANGE', key, 0, HEAD_BYTES - 1)
    there = #head == HEAD_BYTES and unpack_(HEAD, head) or -1
  end
  if there > number then
    raise(row, SETTLED + 2 * session, high, low)
    return raise(row, j, high, low)
  end
  if there < number then begin_chunk(key, number, row) end
  local counts, takes_away = true, false
  if start <= row[2] then
    -- Nothing stands in the place of one that is newer than every bar so far.
    local old = redis.call('GETRANGE', key, at, at + SLOT_BYTES - 1)
    counts, takes_away = replaces(old, row, session, receipt, high, low)
  end
  if not counts then return end
  redis.call('SETRANGE', key, at, slot)
  if takes_away then return rederive(row, ring, chunks, session) end
  return raise(row, j, high, low)
end

local from = 1
local function merge(group)
  local KEY, NEWEST, RING, UNIT, CHUNKS, symbols, bars = unpack(group)
  local kept, rows, newest = read(KEY, symbols), {}, {}
  for i = 1, #symbols do
    local symbol = symbols[i]
    local day, session, start, receipt, accumulated, official, _, open, high, low = unpack_(FIGURES, ARGV[11], from)
    local latest = from + FIGURES_BYTES - 32
    from = latest + LATEST_BYTES
    local row = rows[symbol]
    if not row then
      row = {0}
      if kept[i] then
        row = {unpack_(ROW, kept[i])}
        row[LATEST] = string.sub(kept[i], ROW_BYTES + 1)
      end
      rows[symbol] = row
      changed[#changed + 1] = symbol
    end
    if day > row[1] then
      for j = 2, 25 do row[j] = NAN end
      row[LATEST] = NO_LATEST
      row[1] = day
      redis.call('UNLINK', RING .. symbol .. ':' .. BETWEEN)
    end
    if day == row[1] then
      place(row, RING .. symbol .. ':', UNIT, CHUNKS, start, session, receipt, high, low)
      if not (start <= row[2]) or (start == row[2] and receipt > row[3]) then
        row[2], row[3] = start, receipt
        row[LATEST] = string.sub(ARGV[11], latest, latest + LATEST_BYTES - 1)
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
end

for i = 1, #entries do merge(entries[i]) end
return finish()
