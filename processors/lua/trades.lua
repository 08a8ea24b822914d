-- Trades, merged by symbol in the worker: figures as in processors/parts.py (TRADE_COLUMNS), and the newest print of any
-- kind beside them.
-- entries: {table key, key of the newest prints, {symbol of each row of figures, ...},
--           {symbol of each print, ...}, {print, ...}}; each symbol once in either list
local KEY, symbols, figures = entries[1], entries[3], ARGV[11]
local ROW, BYTES = '<' .. string.rep('d', 25), 200
local pack, unpack_ = struct.pack, struct.unpack
local kept, flat = read(KEY, symbols), {}

-- An order is event time, what is finer of it, sequence number, receipt number. NaN stands for "none yet": a comparison
-- with it is false, so every one below is asked the way that takes the other.
local function newer(t, u, q, n, T, U, Q, N)
  if t ~= T then return t > T end
  if u ~= U then return u > U end
  if q ~= Q then return q > Q end
  return n > N
end

for i = 1, #symbols do
  local from, old = BYTES * (i - 1) + 1, kept[i]
  local row
  if old then
    local d, lt, lu, lq, ln, lp, ft, fu, fq, fn, fp, rt, ru, rq, rn, rp, h0, l0, h1, l1, h2, l2, volume, trades, notional =
      unpack_(ROW, old)
    local D, LT, LU, LQ, LN, LP, FT, FU, FQ, FN, FP, RT, RU, RQ, RN, RP, H0, L0, H1, L1, H2, L2, VOLUME, TRADES, NOTIONAL =
      unpack_(ROW, figures, from)
    if D > d then
      row = string.sub(figures, from, from + BYTES - 1)
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
      row = pack(ROW, d, lt, lu, lq, ln, lp, ft, fu, fq, fn, fp, rt, ru, rq, rn, rp, h0, l0, h1, l1, h2, l2,
                 volume + VOLUME, trades + TRADES, notional + NOTIONAL)
    end
  else
    row = string.sub(figures, from, from + BYTES - 1)
  end
  if row then
    flat[#flat + 1] = symbols[i]
    flat[#flat + 1] = row
    changed[#changed + 1] = symbols[i]
  end
end
write(KEY, flat)
keep_newest(entries[2], entries[4], entries[5])
return finish()
