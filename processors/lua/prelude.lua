-- What every merge begins with: is the batch of the present source, was it applied before; and the accounts.
-- ARGV: 1 source, 2 batch id, 3 feed, 4 events applied, 5 events that failed, 6 second of receipt,
--       7 life of the mark (ms), 8 newest event time (ms, 0: none), 9 packed entries, 10 packed messages to publish
local source, batch, feed = ARGV[1], ARGV[2], ARGV[3]
local applied, failed = tonumber(ARGV[4]), tonumber(ARGV[5])
local accounts = 'tw:accounts:' .. source

local function count(term, events)
  if events ~= 0 then redis.call('HINCRBY', accounts, feed .. ':' .. term, events) end
end

-- The batch's effect and this mark are one atomic step: a redelivery finds the mark and changes nothing.
local function settle()
  redis.call('SET', 'tw:applied:' .. batch, feed, 'PX', ARGV[7])
  local open = 'tw:open:' .. source
  if redis.call('HINCRBY', open, feed .. ':' .. ARGV[6], -(applied + failed)) == 0 then
    redis.call('HDEL', open, feed .. ':' .. ARGV[6])
  end
end

-- What a merge says: what became of the batch, and the counter of who listens to what.
local function outcome(word)
  return {word, tonumber(redis.call('GET', 'tw:interest') or '0')}
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
local changed = {}
local NAN = 0 / 0

-- Whether order key a (time, finer time, sequence number, receipt number) is newer than the one kept in b at index j.
local function newer(a, i, b, j)
  local x, y = a[i], b[j]
  if x ~= y then return x > y end
  x, y = a[i + 1], b[j + 1]
  if x ~= y then return x > y end
  x, y = a[i + 2], b[j + 2]
  if x ~= y then return x > y end
  return a[i + 3] > b[j + 3]
end

local function mark_changed()
  if #changed == 0 then return end
  local version = redis.call('INCR', 'tw:version')
  local arguments = {}
  for i = 1, #changed do
    arguments[2 * i - 1] = version
    arguments[2 * i] = changed[i]
    if i % 2000 == 0 or i == #changed then
      redis.call('ZADD', 'tw:changed', unpack(arguments, 2 * (i - 1 - (i - 1) % 2000) + 1, 2 * i))
    end
  end
end

local function publish()
  if ARGV[10] == '' then return end
  local messages = cmsgpack.unpack(ARGV[10])
  for i = 1, #messages, 2 do redis.call('PUBLISH', messages[i], messages[i + 1]) end
end

-- What every merge ends with; one that fails on its way there is counted as failed by the worker.
local function finish()
  settle()
  count('processed', applied)
  count('failed', failed)
  local newest = tonumber(ARGV[8])
  if newest > tonumber(redis.call('HGET', 'tw:source', 'newest') or '0') then
    redis.call('HSET', 'tw:source', 'newest', ARGV[8])
  end
  mark_changed()
  publish()
  return outcome('applied')
end
