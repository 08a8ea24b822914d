-- What every merge begins with: is the batch of the present source, was it applied before; and the accounts.
-- ARGV: 1 source, 2 batch id, 3 feed, 4 events applied, 5 events that failed, 6 second of receipt,
--       7 life of the mark (ms), 8 newest event time (ms, 0: none), 9 packed entries, 10 packed messages to publish,
--       11 figures: little-endian doubles
local source, batch, feed = ARGV[1], ARGV[2], ARGV[3]
local applied, failed = tonumber(ARGV[4]), tonumber(ARGV[5])
local accounts = 'tw:accounts:' .. source

local function count(term, events)
  if events ~= 0 then redis.call('HINCRBY', accounts, feed .. ':' .. term, events) end
end

-- The batch's effect and this mark are one atomic step: a redelivery finds the mark and changes nothing.
local function settle()
  redis.call('SET', 'tw:applied:' .. batch, feed, 'PX', ARGV[7])
  redis.call('HINCRBY', 'tw:settled:' .. source, feed .. ':' .. ARGV[6], applied + failed)
end

-- What a merge says: what became of the batch, the counter of who listens to what, and what the merge has to tell.
local function outcome(word, told)
  return {word, tonumber(redis.call('GET', 'tw:interest') or '0'), told or {}}
end

if redis.call('EXISTS', 'tw:applied:' .. batch) == 1 then
  count('duplicate', applied + failed)
  return outcome('duplicate')
end
if redis.call('HGET', 'tw:source', 'id') ~= source then
  -- The table belongs to one source; what an earlier one left in the queues is too old to matter.
  settle()
  count('expired_age', applied + failed)
  return outcome('superseded')
end

local entries = cmsgpack.unpack(ARGV[9])
local NAN = 0 / 0

-- What changed: a kind as in processors/changes.py, names with spaces between them, kind, names, ...; each kind once.
local changes = {}
local function mark(kind, names)
  if type(names) == 'table' then names = table.concat(names, ' ') end
  if names == '' then return end
  changes[#changes + 1] = kind
  changes[#changes + 1] = names
end

-- Lua hands a command at most some 8,000 arguments at a time.
local MOST = 7000

-- The values of many fields of a hash; false where there is none.
local function read(key, names)
  if #names <= MOST then return #names > 0 and redis.call('HMGET', key, unpack(names)) or {} end
  local values = {}
  for from = 1, #names, MOST do
    local page = redis.call('HMGET', key, unpack(names, from, math.min(from + MOST - 1, #names)))
    for i = 1, #page do values[from + i - 1] = page[i] end
  end
  return values
end

-- Set fields of a hash: {field, value, field, value, ...}.
local function write(key, flat)
  for from = 1, #flat, MOST do
    redis.call('HSET', key, unpack(flat, from, math.min(from + MOST - 1, #flat)))
  end
end

-- Keep of each symbol's events the newest; the symbols of those that were newer than what was kept.
local function keep_newest(key, symbols, events)
  local kept, newer, flat = read(key, symbols), {}, {}
  for i = 1, #symbols do
    if not kept[i] or events[i] > kept[i] then
      newer[#newer + 1] = symbols[i]
      flat[#flat + 1] = symbols[i]
      flat[#flat + 1] = events[i]
    end
  end
  write(key, flat)
  return newer
end

local function publish()
  if ARGV[10] == '' then return end
  local messages = cmsgpack.unpack(ARGV[10])
  for i = 1, #messages, 2 do redis.call('PUBLISH', messages[i], messages[i + 1]) end
end

-- What every merge ends with; one that fails on its way there is counted as failed by the worker.
local function finish(told)
  settle()
  count('processed', applied)
  count('failed', failed)
  local newest = tonumber(ARGV[8])
  if newest > tonumber(redis.call('HGET', 'tw:source', 'newest') or '0') then
    redis.call('HSET', 'tw:source', 'newest', ARGV[8])
  end
  announce(changes)
  publish()
  return outcome('applied', told)
end
