-- Bars as they are kept, of each symbol's newest day. ARGV[1]: packed {symbol, kind, number, ...}: of second bars (A, T)
-- the chunk of a minute, of others the chunk or day that it lies in; with an empty kind all that there is.
-- Returns for each its day, then {kind, of the ring or 'log', bars, ...}; layouts as in processors/parts.py.
local asked = cmsgpack.unpack(ARGV[1])
local TABLES = {
  A = 'tw:table:bars', AM = 'tw:table:minutes', T = 'tw:table:trades', R = 'tw:table:seed'
}
local SPAN = {A = 1, T = 1, AM = 30}
local KINDS = {'A', 'AM', 'T'}
local unpack_, floor, sub = struct.unpack, math.floor, string.sub

local symbols, days = {}, {}
for i = 1, #asked, 3 do symbols[#symbols + 1] = asked[i] end
for kind, key in pairs(TABLES) do
  local kept = redis.call('HMGET', key, unpack(symbols))
  for i = 1, #kept do kept[i] = kept[i] and unpack_('<d', kept[i]) or 0 end
  days[kind] = kept
end

local function together(keys, from)
  local bodies = {}
  for _, text in ipairs(redis.call('MGET', unpack(keys))) do
    if text then bodies[#bodies + 1] = from > 1 and sub(text, from) or text end
  end
  return table.concat(bodies)
end

local function ring(kind, symbol)
  local keys = {}
  for i = 0, CHUNKS - 1 do keys[i + 1] = ring_key(kind, symbol, i) end
  return together(keys, HEAD_BYTES + 1)
end

local function log(kind, symbol)
  local keys = {}
  for i = 0, CHUNKS - 1 do keys[i + 1] = log_key(kind, symbol, LOG_MS * i) end
  return together(keys, 1)
end

local function whole_day(i, symbol, day, is_covered)
  local found = {}
  for _, kind in ipairs(KINDS) do
    if days[kind][i] == day and not (kind == 'T' and is_covered) then
      local n = #found
      found[n + 1], found[n + 2], found[n + 3] = kind, 'ring', ring(kind, symbol)
      if kind ~= 'AM' then found[n + 4], found[n + 5], found[n + 6] = kind, 'log', log(kind, symbol) end
    end
  end
  return found
end

local function chunk_of(kind, symbol, minute)
  local number = floor(minute / SPAN[kind])
  local chunk = redis.call('GET', ring_key(kind, symbol, number))
  if chunk and unpack_(HEAD, chunk) == number then return {kind, 'ring', sub(chunk, HEAD_BYTES + 1)} end
  return {kind, 'log', redis.call('GET', log_key(kind, symbol, minute * 60000)) or ''}
end

local answers = {}
for i, symbol in ipairs(symbols) do
  local wanted = asked[3 * i - 1]
  local day = math.max(days.A[i], days.AM[i], days.T[i], days.R[i])
  local is_covered = days.A[i] == day or days.AM[i] == day
  local found = {}
  if day > 0 then
    if wanted == '' then
      found = whole_day(i, symbol, day, is_covered)
    elseif wanted ~= 'R' and days[wanted][i] == day and not (wanted == 'T' and is_covered) then
      found = chunk_of(wanted, symbol, asked[3 * i])
    end
    if wanted == '' or wanted == 'R' then
      local rest = redis.call('GET', 'tw:day:R:' .. symbol) or ''
      if #rest > 0 and unpack_('<d', rest) == day then
        local n = #found
        found[n + 1], found[n + 2], found[n + 3] = 'R', 'log', sub(rest, 9)
      end
    end
  end
  answers[2 * i - 1], answers[2 * i] = day, found
end
return answers
