-- Trades, merged by symbol in the worker: figures as in processors/parts.py, and the newest print of any kind beside them.
-- entries: {table key, key of the newest prints, {symbol of each row of figures, ...}, {symbol of each print, ...},
--           {print, ...}, number of older buckets, number of bars}; each symbol once in either list
-- figures: rows (TRADE_COLUMNS); older buckets (OLDER_BUCKET); bars by the second (TRADED_BAR)
local KEY, symbols, figures = entries[1], entries[3], ARGV[11]
local ROW, BYTES, DOUBLES = '<' .. string.rep('d', 33), 264, string.rep('d', 16)
local SLOT_OF_TIME, SLOT_BYTES, FIVES, MINUTES = '<I4I4dd', 24, 72, 64
local NO_ACTIVITY = string.rep('\0', SLOT_BYTES * (FIVES + MINUTES))
local BAR, BAR_BYTES = '<' .. DOUBLES, 128
local pack, unpack_, floor, sub = struct.pack, struct.unpack, math.floor, string.sub
local kept, flat, changed = read(KEY, symbols), {}, {}
-- By number of the row: whether its day is the symbol's.
local current = {}

-- An order is event time, what is finer of it, sequence number, receipt number. NaN stands for "none yet": a comparison
-- with it is false, so every one below is asked the way that takes the other.
local function newer(t, u, q, n, T, U, Q, N)
  if t ~= T then return t > T end
  if u ~= U then return u > U end
  if q ~= Q then return q > Q end
  return n > N
end

-- A symbol's activity by time (parts.ACTIVITY): the newest bucket of each length grows in its row, those before it stand
-- in a ring, where prints that come late find them.
local function slot_of(first, slots, bucket) return SLOT_BYTES * (first + bucket % slots) end

local function close_bucket(symbol, first, slots, bucket, trades, volume, notional)
  local slot = pack(SLOT_OF_TIME, bucket, trades, volume, notional)
  redis.call('SETRANGE', 'tw:ring:activity:' .. symbol, slot_of(first, slots, bucket), slot)
end

local function add_late(symbol, first, slots, bucket, trades, volume, notional)
  local at = slot_of(first, slots, bucket)
  local old = redis.call('GETRANGE', 'tw:ring:activity:' .. symbol, at, at + SLOT_BYTES - 1)
  if #old == SLOT_BYTES then
    local b, c, v, w = unpack_(SLOT_OF_TIME, old)
    if b > bucket then return end
    if b == bucket then trades, volume, notional = trades + c, volume + v, notional + w end
  end
  close_bucket(symbol, first, slots, bucket, trades, volume, notional)
end

-- Two parts of the same symbol's activity, each the newest bucket of its part: the newer, with what both have of it.
local function join(symbol, first, slots, b, c, v, w, B, C, V, W)
  if B ~= B then return b, c, v, w end
  if b ~= b then return B, C, V, W end
  if B == b then return b, c + C, v + V, w + W end
  if B > b then
    close_bucket(symbol, first, slots, b, c, v, w)
    return B, C, V, W
  end
  add_late(symbol, first, slots, B, C, V, W)
  return b, c, v, w
end

local function begin_row(symbol, is_new)
  redis.call('SET', 'tw:ring:activity:' .. symbol, NO_ACTIVITY, 'EX', LIFE_S)
  if not is_new then forget('T', symbol) end
end

for i = 1, #symbols do
  local from, old, symbol = BYTES * (i - 1) + 1, kept[i], symbols[i]
  local row
  if old then
    local d, lt, lu, lq, ln, lp, ft, fu, fq, fn, fp, rt, ru, rq, rn, rp, h0, l0, h1, l1, h2, l2, volume, trades, notional,
      b5, c5, v5, w5, bm, cm, vm, wm = unpack_(ROW, old)
    local D, LT, LU, LQ, LN, LP, FT, FU, FQ, FN, FP, RT, RU, RQ, RN, RP, H0, L0, H1, L1, H2, L2, VOLUME, TRADES, NOTIONAL,
      B5, C5, V5, W5, BM, CM, VM, WM = unpack_(ROW, figures, from)
    if D > d then
      row = sub(figures, from, from + BYTES - 1)
      begin_row(symbol, false)
    elseif D == d then
      if LP == LP and (lp ~= lp or newer(LT, LU, LQ, LN, lt, lu, lq, ln)) then lt, lu, lq, ln, lp = LT, LU, LQ, LN, LP end
      if FP == FP and (fp ~= fp or newer(ft, fu, fq, fn, FT, FU, FQ, FN)) then ft, fu, fq, fn, fp = FT, FU, FQ, FN, FP end
      if RP == RP and (rp ~= rp or newer(rt, ru, rq, rn, RT, RU, RQ, RN)) then rt, ru, rq, rn, rp = RT, RU, RQ, RN, RP end
      if H0 == H0 and not (H0 <= h0) then h0 = H0 end
      if L0 == L0 and not (L0 >= l0) then l0 = L0 end
      if H1 == H1 and not (H1 <= h1) then h1 = H1 end
      if L1 == L1 and not (L1 >= l1) then l1 = L1 end
      if H2 == H2 and not (H2 <= h2) then h2 = H2 end
      if L2 == L2 and not (L2 >= l2) then l2 = L2 end
      b5, c5, v5, w5 = join(symbol, 0, FIVES, b5, c5, v5, w5, B5, C5, V5, W5)
      bm, cm, vm, wm = join(symbol, FIVES, MINUTES, bm, cm, vm, wm, BM, CM, VM, WM)
      row = pack(ROW, d, lt, lu, lq, ln, lp, ft, fu, fq, fn, fp, rt, ru, rq, rn, rp, h0, l0, h1, l1, h2, l2,
                 volume + VOLUME, trades + TRADES, notional + NOTIONAL, b5, c5, v5, w5, bm, cm, vm, wm)
    end
  else
    row = sub(figures, from, from + BYTES - 1)
    begin_row(symbol, true)
  end
  if row then
    flat[#flat + 1] = symbol
    flat[#flat + 1] = row
    changed[#changed + 1] = symbol
    current[i] = true
  end
end
write(KEY, flat)
mark(KEY, changed)
keep_newest(entries[2], entries[4], entries[5])

local from = BYTES * #symbols + 1
for _ = 1, entries[6] do
  local i, first, slots, bucket, trades, volume, notional
  i, first, slots, bucket, trades, volume, notional, from = unpack_('<ddddddd', figures, from)
  if current[i] then add_late(symbols[i], first, slots, bucket, trades, volume, notional) end
end

-- Bars by the second, of symbols that have no others today. Two parts of a bar, or of what has left the ring, come
-- together to the same in any order.
local function merged(one, other)
  local s, ot, ou, oq, on, o, ct, cu, cq, cn, c, high, low, volume, notional, trades = unpack_(BAR, one)
  local S, OT, OU, OQ, ON, O, CT, CU, CQ, CN, C, HIGH, LOW, VOLUME, NOTIONAL, TRADES_ = unpack_(BAR, other)
  if O == O and (o ~= o or newer(ot, ou, oq, on, OT, OU, OQ, ON)) then ot, ou, oq, on, o = OT, OU, OQ, ON, O end
  if C == C and (c ~= c or newer(CT, CU, CQ, CN, ct, cu, cq, cn)) then ct, cu, cq, cn, c = CT, CU, CQ, CN, C end
  if HIGH == HIGH and not (HIGH <= high) then high = HIGH end
  if LOW == LOW and not (LOW >= low) then low = LOW end
  return pack(BAR, math.min(s, S), ot, ou, oq, on, o, ct, cu, cq, cn, c, high, low,
              volume + VOLUME, notional + NOTIONAL, trades + TRADES_)
end

local function log_chunk(symbol, chunk)
  local all
  for at = HEAD_BYTES + 1, #chunk, BAR_BYTES do
    local bar = sub(chunk, at, at + BAR_BYTES - 1)
    all = all and merged(all, bar) or bar
  end
  log_record('T', symbol, all, merged)
end

local function place(symbol, number, bar)
  local key = ring_key('T', symbol, number)
  local chunk = redis.call('GET', key)
  local there = chunk and unpack_(HEAD, chunk) or -1
  if there > number then return log_record('T', symbol, bar, merged) end
  if there < number then
    if chunk then log_chunk(symbol, chunk) end
    return begin_chunk(key, number, 0, bar)
  end
  local at = find_bar(chunk, sub(bar, 1, 8), BAR_BYTES)
  if not at then return redis.call('APPEND', key, bar) end
  redis.call('SETRANGE', key, at - 1, merged(sub(chunk, at, at + BAR_BYTES - 1), bar))
end

-- The day since which each symbol has bars of its own, asked for once; workers are told, and send no more of theirs.
local covered, told, chunks = {}, {}, {}
for _ = 1, entries[7] do
  local i, start = unpack_('<dd', figures, from)
  local bar = sub(figures, from + 8, from + 7 + BAR_BYTES)
  from = from + 8 + BAR_BYTES
  local symbol = symbols[i]
  if current[i] then
    if covered[i] == nil then
      local day = tonumber(redis.call('HGET', 'tw:ring:covered', symbol) or '0')
      covered[i] = day >= unpack_('<d', figures, BYTES * (i - 1) + 1)
      if covered[i] then
        told[#told + 1] = symbol
        told[#told + 1] = day
      end
    end
    if not covered[i] then
      local number = floor(start / 60000)
      place(symbol, number, bar)
      chunks[#chunks + 1] = string.format('%s|T|%d', symbol, number)
    end
  end
end
mark('chunks', chunks)
return finish(told)
