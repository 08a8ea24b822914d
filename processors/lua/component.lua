-- What a process says of itself, and when it was heard, by the cache's clock: hosts' own may differ.
-- KEYS: its report, the index of all. ARGV: the report, its name in the index, how long both are kept (ms).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], string.format('%d', now), ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%d', now - ARGV[3]))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
