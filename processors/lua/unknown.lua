-- Events of no known type, kept as they came under keys of their own; the oldest go when there are too many.
-- entries: {list of the keys, cap, time to live (ms), {key, payload}, ...}
local LIST, CAP, TTL = entries[1], entries[2], entries[3]
for i = 4, #entries do
  redis.call('SET', entries[i][1], entries[i][2], 'PX', TTL)
  redis.call('LPUSH', LIST, entries[i][1])
end
while redis.call('LLEN', LIST) > CAP do redis.call('UNLINK', redis.call('RPOP', LIST)) end
return finish()
