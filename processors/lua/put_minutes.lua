-- Put a symbol's minute bars from REST beside those that events gave, and what they add to its row.
-- ARGV: 1 source, 2 day, 3 symbol, 4 bars (parts.BAR), ascending, 5 figures of the row (parts.BAR_COLUMNS), or nothing,
--       6 length of a bar, 7 names of the chunks
-- Returns 1 when they were put in, 0 when the table belongs to another source, or the symbol to a newer day.
local SOURCE, DAY, SYMBOL, BARS, FIGURES, BYTES = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local KEY, SEED, LIFE_S = 'tw:day:R:' .. SYMBOL, 'tw:table:seed', 86400
local pack, unpack_, sub = struct.pack, struct.unpack, string.sub
if redis.call('HGET', 'tw:source', 'id') ~= SOURCE then return 0 end
local kept = redis.call('GET', KEY)
local old = redis.call('HGET', SEED, SYMBOL)
for _, of_a_day in ipairs({kept, old}) do
  if of_a_day and unpack_('<d', of_a_day) > DAY then return 0 end
end

-- A bar that comes again replaces the one of its start.
local bars, starts = {}, {}
local function take(text, from)
  for at = from, #text, BYTES do
    local start = unpack_('<i8', text, at)
    if not bars[start] then starts[#starts + 1] = start end
    bars[start] = sub(text, at, at + BYTES - 1)
  end
end
if kept and unpack_('<d', kept) == DAY then take(kept, 9) end
take(BARS, 1)
table.sort(starts)
for i, start in ipairs(starts) do starts[i] = bars[start] end
if #starts > 0 then redis.call('SET', KEY, pack('<d', DAY) .. table.concat(starts), 'EX', LIFE_S) end

-- Positions as in bars.lua: what REST said before and says now, put together by extremes, the latest bar the later.
local fields = {'chunks', ARGV[7]}
if FIGURES ~= '' then
  local ROW = '<' .. string.rep('d', 34)
  local row = {unpack_(ROW, FIGURES)}
  if old and unpack_('<d', old) == DAY then
    local was = {unpack_(ROW, old)}
    if was[2] > row[2] or row[2] ~= row[2] then
      for _, j in ipairs({2, 3, 26, 27, 28, 29, 30, 31, 32, 33, 34}) do row[j] = was[j] end
    end
    if was[4] > row[4] or row[4] ~= row[4] then row[4] = was[4] end
    if row[7] ~= row[7] then row[5], row[6], row[7] = was[5], was[6], was[7] end
    for _, j in ipairs({8, 11}) do
      if was[j] < row[j] or row[j] ~= row[j] then row[j], row[j + 1], row[j + 2] = was[j], was[j + 1], was[j + 2] end
    end
    for j = 14, 18, 2 do
      if was[j] > row[j] or row[j] ~= row[j] then row[j] = was[j] end
      if was[j + 1] < row[j + 1] or row[j + 1] ~= row[j + 1] then row[j + 1] = was[j + 1] end
    end
  end
  redis.call('HSET', SEED, SYMBOL, pack(ROW, unpack(row, 1, 34)))
  fields[3], fields[4] = SEED, SYMBOL
end
if ARGV[7] == '' then fields = {fields[3], fields[4]} end
announce(fields)
return 1
