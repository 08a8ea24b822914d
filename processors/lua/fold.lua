-- Keep the accounts small: what was published and settled in seconds long past becomes one figure a feed, that which was
-- lost, kept as published in second 0 by the run "folded". Sums over all seconds are the same before and after.
-- ARGV: 1 published, 2 settled, 3 listener's accounts, 4 run that asks, 5 second; earlier ones are folded
local BEFORE = tonumber(ARGV[5])
local lost = {}
for i, sign in ipairs({1, -1}) do
  local fields = redis.call('HGETALL', ARGV[i])
  for j = 1, #fields, 2 do
    local feed, second = string.match(fields[j], '([^:]+):(%d+)$')
    if tonumber(second) < BEFORE then
      lost[feed] = (lost[feed] or 0) + sign * tonumber(fields[j + 1])
      redis.call('HDEL', ARGV[i], fields[j])
    end
  end
end
for feed, events in pairs(lost) do
  if events ~= 0 then redis.call('HSET', ARGV[1], 'folded:' .. feed .. ':0', events) end
end

-- What waited in a listener that died never left it. (One that lives after all says so again with its next figures.)
local terms = redis.call('HGETALL', ARGV[3])
for i = 1, #terms, 2 do
  local run, feed = string.match(terms[i], '^([^:]+):([^:]+):buffered$')
  if run and run ~= ARGV[4] and terms[i + 1] ~= '0' then
    redis.call('HINCRBY', ARGV[3], run .. ':' .. feed .. ':dropped', terms[i + 1])
    redis.call('HSET', ARGV[3], terms[i], 0)
  end
end
