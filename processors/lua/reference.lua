-- Put reference data of the present source, and tell readers whose changed; 0 when the source is another by now.
-- ARGV: 1 source, 2 state (JSON), 3 number of rows, then symbol and row of each, then symbols that are unknown again
if redis.call('HGET', 'tw:source', 'id') ~= ARGV[1] then return 0 end
local last = 3 + 2 * tonumber(ARGV[3])
-- Lua hands a command at most some 8,000 arguments at a time.
local MOST = 7000
for from = 4, last, MOST do
  redis.call('HSET', 'tw:reference', unpack(ARGV, from, math.min(from + MOST - 1, last)))
end
for from = last + 1, #ARGV, MOST do
  redis.call('HDEL', 'tw:reference', unpack(ARGV, from, math.min(from + MOST - 1, #ARGV)))
end
redis.call('SET', 'tw:reference:state', ARGV[2])
local changed = {}
for i = 4, last, 2 do changed[#changed + 1] = ARGV[i] end
for i = last + 1, #ARGV do changed[#changed + 1] = ARGV[i] end
if #changed > 0 then announce({'reference', table.concat(changed, ' ')}) end
return 1
