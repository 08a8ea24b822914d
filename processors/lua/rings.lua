-- Bars by symbol and kind: a ring of chunks, each as long as its kind says, in which single bars can still be corrected
-- or added to, and a log of what has left it, by the half hour, one record a chunk or late bar. A chunk is its number and
-- session, then bars in order of arrival, all of one length, each beginning with its start.
local CHUNKS, HEAD, HEAD_BYTES = 32, '<dd', 16
-- So many half hours are a trading day.
local LOG_MS = 1800000
local LIFE_S = 345600
-- What no market sends in order: then a chunk leaves the ring before its time, and a log is put together by the minute.
local MOST_BARS, MOST_LOG_BYTES = 600, 16384
local SLOT = {}
for i = 0, CHUNKS - 1 do SLOT[i] = ':' .. i end

local function ring_key(kind, symbol, number)
  return 'tw:ring:' .. kind .. ':' .. symbol .. SLOT[number % CHUNKS]
end

local function begin_chunk(key, number, session, bar)
  redis.call('SET', key, struct.pack(HEAD, number, session) .. bar, 'EX', LIFE_S)
end

-- Where the bar of a start stands in a chunk, if it has one; `start` in eight bytes.
local function find_bar(chunk, start, bytes)
  local at = string.find(chunk, start, HEAD_BYTES + 1, true)
  while at and (at - HEAD_BYTES - 1) % bytes ~= 0 do at = string.find(chunk, start, at + 1, true) end
  return at
end

local function log_key(kind, symbol, start)
  return 'tw:day:' .. kind .. ':' .. symbol .. SLOT[math.floor(start / LOG_MS) % CHUNKS]
end

-- What grew bit by bit has room for as much again: what is complete is stored anew, without.
local function trim(key)
  local text = redis.call('GET', key)
  if text then redis.call('SET', key, text, 'KEEPTTL') end
end

-- One record more of what has left the ring; `folded` makes one of two of the same minute.
local function log_record(kind, symbol, record, folded)
  local start = struct.unpack('<d', record)
  local key = log_key(kind, symbol, start)
  local length = redis.call('APPEND', key, record)
  if length == #record then
    redis.call('EXPIRE', key, LIFE_S)
    trim(log_key(kind, symbol, start - LOG_MS))
  end
  if length < MOST_LOG_BYTES then return end
  local log, by_minute, all = redis.call('GET', key), {}, {}
  for at = 1, length, #record do
    local one = string.sub(log, at, at + #record - 1)
    local minute = math.floor(struct.unpack('<d', one) / 60000)
    by_minute[minute] = by_minute[minute] and folded(by_minute[minute], one) or one
  end
  for _, one in pairs(by_minute) do all[#all + 1] = one end
  redis.call('SET', key, table.concat(all), 'KEEPTTL')
end

-- Everything of a symbol and kind goes: its row begins a newer day, or better bars have come.
local function forget(kind, symbol)
  local keys = {}
  for i = 0, CHUNKS - 1 do
    keys[2 * i + 1], keys[2 * i + 2] = ring_key(kind, symbol, i), log_key(kind, symbol, LOG_MS * i)
  end
  redis.call('UNLINK', unpack(keys))
end
