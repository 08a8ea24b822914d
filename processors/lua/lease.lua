-- Take or keep a lease. ARGV: 1 key, 2 token, 3 life (ms). Returns 1 while the token holds it.
local holder = redis.call('GET', ARGV[1])
if holder and holder ~= ARGV[2] then return 0 end
redis.call('SET', ARGV[1], ARGV[2], 'PX', ARGV[3])
return 1
