-- Events of no known type, kept as they came under keys of their own; the oldest by receipt go when there are too many.
-- entries: {sorted set of the keys, cap, time to live (ms), {receipt (microseconds), payload}, ...}
local KEYS_BY_RECEIPT, CAP, TTL = entries[1], entries[2], entries[3]
for i = 4, #entries do
  local receipt, payload = entries[i][1], entries[i][2]
  -- The name's nanoseconds do not fit a double. They are free to tell apart what two listeners received at once.
  local name, nanosecond = nil, 0
  repeat
    name = string.format('unknown:%.0f%03d', receipt, nanosecond)
    nanosecond = nanosecond + 1
  until nanosecond > 999 or redis.call('EXISTS', name) == 0
  redis.call('SET', name, payload, 'PX', TTL)
  redis.call('ZADD', KEYS_BY_RECEIPT, receipt, name)
end
if #entries > 3 then redis.call('PEXPIRE', KEYS_BY_RECEIPT, TTL) end
local excess = redis.call('ZCARD', KEYS_BY_RECEIPT) - CAP
if excess > 0 then
  for _, name in ipairs(redis.call('ZRANGE', KEYS_BY_RECEIPT, 0, excess - 1)) do redis.call('UNLINK', name) end
  redis.call('ZREMRANGEBYRANK', KEYS_BY_RECEIPT, 0, excess - 1)
end
return finish()
