-- Set and publish boards, if the writer still holds the lease and its source is the present one (a fencing token).
-- ARGV: 1 lease token, 2 source, then key, time to live (ms; 0: publish only), payload, ...
if redis.call('GET', 'tw:lease:scans') ~= ARGV[1] or redis.call('HGET', 'tw:source', 'id') ~= ARGV[2] then return 0 end
for i = 3, #ARGV, 3 do
  if ARGV[i + 1] ~= '0' then redis.call('SET', ARGV[i], ARGV[i + 2], 'PX', ARGV[i + 1]) end
  redis.call('PUBLISH', ARGV[i], ARGV[i + 2])
end
return 1
