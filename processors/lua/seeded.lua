-- Note until when symbols are filled up, if the table is still the one that they were filled up in: a source that was
-- declared again has lost it.
-- ARGV: 1 source, 2 since when it is the present one (ms), 3 hash, 4 key of its version, 5 version, 6 life (s),
-- 7 until (ms), 8... symbols, some thousand at most
local present = redis.call('HMGET', 'tw:source', 'id', 'since')
if present[1] ~= ARGV[1] or present[2] ~= ARGV[2] then return 0 end
local flat = {}
for i = 8, #ARGV do
  flat[#flat + 1] = ARGV[i]
  flat[#flat + 1] = ARGV[7]
end
redis.call('HSET', ARGV[3], unpack(flat))
redis.call('EXPIRE', ARGV[3], ARGV[6])
redis.call('SET', ARGV[4], ARGV[5], 'EX', ARGV[6])
return 1
