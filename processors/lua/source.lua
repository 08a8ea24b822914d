-- Make a source the present one. A new source finds an empty table: whatever an earlier one left goes in this one step.
-- ARGV: 1 id, 2 kind, 3 market clock (ms), 4 speed, 5 lossless (0 or 1), 6 now (ms), 7... prefixes of what belongs to a source
if redis.call('HGET', 'tw:source', 'id') == ARGV[1] then
  redis.call('HSET', 'tw:source', 'lossless', ARGV[5], 'speed', ARGV[4])
  return 0
end
local cursor = '0'
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 5000)
  cursor = page[1]
  local doomed = {}
  for _, key in ipairs(page[2]) do
    for i = 7, #ARGV do
      if string.sub(key, 1, #ARGV[i]) == ARGV[i] then
        doomed[#doomed + 1] = key
        break
      end
    end
    if #doomed == 1000 then
      redis.call('UNLINK', unpack(doomed))
      doomed = {}
    end
  end
  if #doomed > 0 then redis.call('UNLINK', unpack(doomed)) end
until cursor == '0'
redis.call('DEL', 'tw:source')
redis.call('HSET', 'tw:source', 'id', ARGV[1], 'kind', ARGV[2], 'clock', ARGV[3], 'speed', ARGV[4],
           'lossless', ARGV[5], 'since', ARGV[6], 'newest', 0)
-- A reader that keeps rows in memory sees that they are not of this source; the version only ever grows.
redis.call('INCR', 'tw:version')
return 1
