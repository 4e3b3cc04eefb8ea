-- KEYS registry, a claim for each range. ARGV token, lineage, sink, span, number of ranges, then (claim, from, to) of each,
-- then (column, count) pairs.
local h = redis.call('HMGET', reg, 'owner', 'lineage')
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return {'lost'} end
local sink, span, n = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local ranges, passed = {}, 0
for r = 1, n do
  local a = 5 + (r - 1) * 3
  local name, from, to = ARGV[a + 1], tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local v = redis.call('HGET', reg, 'c:' .. name)
  if not v then
    passed = passed + 1
  else
    local len, _, key, sinks = claim(v)
    if to > len or not owes(sinks, sink) then return {'stale'} end
    local cur = tonumber(redis.call('HGET', reg, 'i:' .. name .. ':' .. sink) or '0')
    if cur >= to then
      passed = passed + 1
    elseif cur ~= from then
      return {'stale'}
    end
    ranges[r] = {name = name, to = to, len = len, shape = key, sinks = sinks}
  end
end
if passed == n then return {'done'} end
if passed > 0 then return {'stale'} end
for r = 1, n do
  local kind = redis.call('TYPE', KEYS[r + 1])
  kind = type(kind) == 'table' and kind.ok or kind
  if kind ~= 'list' and kind ~= 'none' then return {'type', kind} end
end
local out, finished = {'ok'}, {}
for r, x in ipairs(ranges) do
  redis.call('HSET', reg, 'i:' .. x.name .. ':' .. sink, int(x.to))
  local off = trim(KEYS[r + 1], x.name, x.len, x.sinks, span)
  if not off then finished[x.shape] = true end
  out[#out + 1] = off and int(off) or 'gone'
end
for a = 5 + n * 3 + 1, #ARGV, 2 do
  redis.call('HINCRBY', reg, 'k:' .. sink .. ':' .. ARGV[a], ARGV[a + 1])
end
-- Positions have a fixed width. They are compared byte by byte, since Lua compares strings as the server's locale has it.
local function reached(p, q)
  for i = 1, #p do
    local a, b = string.byte(p, i), string.byte(q, i)
    if a ~= b then return a < b end
  end
  return true
end
local m = redis.call('HGET', reg, 'm:' .. sink)
if m and reached(string.match(m, '^%S+ (%S+)'), ranges[n].name .. '-' .. string.format('%010d', ranges[n].to)) then
  redis.call('HDEL', reg, 'm:' .. sink)
end
sweep(finished)
return out
