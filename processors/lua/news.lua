-- Articles, each once: newest first by the time of publication, for everyone and by symbol.
-- entries: {cap, {id, published (ms), payload, {symbol, ...}, whether its time counts (boolean)}, ...}
local DAY = 86400000
-- Rows count the articles of 24 hours; the market's clock may be behind the newest article.
local RECENT = 25 * 3600000
local fresh = {}
for i = 2, #entries do
  local id, published, payload, symbols, counts = unpack(entries[i])
  if redis.call('SET', 'tw:raw:article:' .. id, payload, 'NX', 'PX', 7 * DAY) then
    local lists = {'news:latest'}
    for _, symbol in ipairs(symbols) do
      lists[#lists + 1] = 'news:' .. symbol
      if counts then
        redis.call('ZADD', 'tw:news:recent', published, symbol .. '|' .. id)
        fresh[#fresh + 1] = symbol
      end
    end
    for j, key in ipairs(lists) do
      redis.call('ZADD', key, published, id)
      redis.call('ZREMRANGEBYRANK', key, 0, -entries[1] - 1)
      redis.call('PEXPIRE', key, (j == 1 and 2 or 7) * DAY)
      redis.call('PUBLISH', key, payload)
    end
  end
end
if #fresh > 0 then
  local newest = redis.call('ZRANGE', 'tw:news:recent', -1, -1, 'WITHSCORES')[2]
  redis.call('ZREMRANGEBYSCORE', 'tw:news:recent', '-inf', '(' .. string.format('%.0f', tonumber(newest) - RECENT))
  mark('news', fresh)
end
return finish()
