-- Account for events that were disposed of without being merged, at most once for a batch whatever happens to it.
-- ARGV: 1 source, 2 batch id, 3 feed, 4 events, 5 term, 6 second of receipt, 7 life of the mark (ms)
-- Returns 1 when they were counted, 0 when the batch is accounted for already.
local accounts, settled = 'tw:accounts:' .. ARGV[1], 'tw:settled:' .. ARGV[1]
if not redis.call('SET', 'tw:applied:' .. ARGV[2], ARGV[5], 'NX', 'PX', ARGV[7]) then
  redis.call('HINCRBY', accounts, ARGV[3] .. ':duplicate', ARGV[4])
  return 0
end
redis.call('HINCRBY', accounts, ARGV[3] .. ':' .. ARGV[5], ARGV[4])
redis.call('HINCRBY', settled, ARGV[3] .. ':' .. ARGV[6], ARGV[4])
return 1
