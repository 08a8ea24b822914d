-- Articles, each once: newest first by the time of publication, for everyone and by symbol.
-- entries: {cap, {id, published (ms), payload, {symbol, ...}}, ...}
local DAY = 86400000
for i = 2, #entries do
  local id, published, payload, symbols = unpack(entries[i])
  if redis.call('SET', 'tw:raw:article:' .. id, payload, 'NX', 'PX', 7 * DAY) then
    local lists = {'news:latest'}
    for _, symbol in ipairs(symbols) do lists[#lists + 1] = 'news:' .. symbol end
    for j, key in ipairs(lists) do
      redis.call('ZADD', key, published, id)
      redis.call('ZREMRANGEBYRANK', key, 0, -entries[1] - 1)
      redis.call('PEXPIRE', key, (j == 1 and 2 or 7) * DAY)
      redis.call('PUBLISH', key, payload)
    end
  end
end
return finish()
