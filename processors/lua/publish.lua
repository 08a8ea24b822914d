-- What one tick of the engine writes, in one step: boards, the state of the rules, and their alerts.
--
-- Two things keep engines apart. The lease says whose turn it is. The count of what was published is the fence: whoever
-- does not know the last one has missed something, and begins by reading what others left; a tick that takes longer than
-- the lease lasts is therefore good all the same, as long as nobody else took the turn.
-- ARGV: 1 lease token, 2 source ('' before any), 3 publications so far, 4 life of the lease (ms), 5 packed edition,
--       6... key, time to live (ms; 0: publish only), payload
-- edition: {versions = {slug, version, ...}, state = {rule, state, ...}, dropped = {rule, ...}, owners = {rule, user, ...},
--           alerts = {rule, payload, ...}}
-- Returns the publications so far, 0 when nothing was written; and how many alerts the database will never see.
local LEASE, TURN, STATE, BOARDS, OUTBOX = 'tw:lease:scans', 'tw:scans:turn', 'tw:alerts:state', 'tw:boards', 'tw:alerts:outbox'
local OWNERS = 'tw:rules:owners'
local MOST_ALERTS, ALERT_LIFE_MS, MOST_WAITING = 1000, 8 * 3600 * 1000, 50000

local holder = redis.call('GET', LEASE)
if holder and holder ~= ARGV[1] then return {0, 0} end
if (redis.call('HGET', 'tw:source', 'id') or '') ~= ARGV[2] then return {0, 0} end
if (redis.call('GET', TURN) or '0') ~= ARGV[3] then return {0, 0} end
redis.call('SET', LEASE, ARGV[1], 'PX', ARGV[4])
local turn = redis.call('INCR', TURN)

-- A few fields at a time: Lua hands a command at most some 8,000 arguments.
local function each(values, width, act)
  for i = 1, #values, width do act(values[i], values[i + 1]) end
end
local edition = cmsgpack.unpack(ARGV[5])

-- Whose a rule is has to be known to who passes messages on before the first of them.
each(edition.owners, 2, function(rule, user)
  redis.call('HSET', OWNERS, rule, user)
  redis.call('PUBLISH', OWNERS, user .. ' ' .. rule)
end)
for i = 6, #ARGV, 3 do
  if ARGV[i + 1] ~= '0' then redis.call('SET', ARGV[i], ARGV[i + 2], 'PX', ARGV[i + 1]) end
  redis.call('PUBLISH', ARGV[i], ARGV[i + 2])
end

each(edition.versions, 2, function(slug, version) redis.call('HSET', BOARDS, slug, version) end)
each(edition.state, 2, function(rule, state) redis.call('HSET', STATE, rule, state) end)
each(edition.dropped, 1, function(rule) redis.call('HDEL', STATE, rule) end)
each(edition.alerts, 2, function(rule, payload)
  local user = redis.call('HGET', OWNERS, rule) or '0'
  for _, key in ipairs({user == '0' and 'alerts' or 'alerts:user:' .. user, 'alerts:' .. rule}) do
    redis.call('LPUSH', key, payload)
    redis.call('LTRIM', key, 0, MOST_ALERTS - 1)
    redis.call('PEXPIRE', key, ALERT_LIFE_MS)
    redis.call('PUBLISH', key, payload)
  end
  redis.call('RPUSH', OUTBOX, payload)
end)
-- The database takes them from here. Away for days, it misses the oldest.
local lost = 0
if #edition.alerts > 0 then
  lost = math.max(0, redis.call('LLEN', OUTBOX) - MOST_WAITING)
  redis.call('LTRIM', OUTBOX, -MOST_WAITING, -1)
end
return {turn, lost}
