-- Readers follow what changed in a bounded stream, one entry an atomic step, its id the table's version; who has fallen
-- behind its beginning reads everything. Fields of an entry: processors/changes.py.
local function announce(fields)
  if #fields == 0 then return end
  local version = redis.call('INCR', 'tw:version')
  redis.call('XADD', 'tw:changed', 'MAXLEN', '~', 2000, version .. '-0', unpack(fields))
end
