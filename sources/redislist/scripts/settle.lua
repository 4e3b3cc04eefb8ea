-- KEYS registry, a claim for each range. ARGV token and session, lineage, sink, span, number of ranges, the spool that the ranges lie in
-- now or empty, state directory, the sink's note or empty, then (claim, from, to) of each range, then (column, count) pairs.
local h = redis.call('HMGET', reg, 'owner', 'lineage', 'home')
if not mine(h[1], ARGV[1]) or h[2] ~= ARGV[2] then return {'lost'} end
local sink, span, n = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local where = ARGV[6]
local loc = string.sub(where, 1, 4) == 'dir:'
local ranges, behind = {}, 0
for r = 1, n do
  local a = 8 + (r - 1) * 3
  local name, from, to = ARGV[a + 1], tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local v = redis.call('HGET', reg, 'c:' .. name)
  if not v then
    behind = behind + 1
  else
    local len, _, key, sinks = claim(v)
    if to > len or not owes(sinks, sink) then return {'stale'} end
    local cur = tonumber(redis.call('HGET', reg, 'i:' .. name .. ':' .. sink) or '0')
    if cur >= to then
      behind = behind + 1
    elseif cur ~= from then
      return {'stale'}
    end
    ranges[r] = {name = name, from = from, to = to, len = len, shape = key, sinks = sinks}
  end
end
if behind == n then return {'done'} end
if behind > 0 then return {'stale'} end
local spooled, _, there = spool(sink)
if spooled and there ~= where then return {'stale'} end -- what is fresh waits for what lies in the spool
if loc and h[3] and h[3] ~= ARGV[7] then return {'home', h[3]} end
for r = 1, n do
  local kind = redis.call('TYPE', KEYS[r + 1])
  kind = type(kind) == 'table' and kind.ok or kind
  if kind ~= 'list' and kind ~= 'none' then return {'type', kind} end
end
local last = position(ranges[n].name, ranges[n].to)
local first = position(ranges[1].name, ranges[1].from)
if where ~= '' then
  redis.call('HSET', reg, 'v', '2')
  redis.call('HSET', reg, 's:' .. sink, (spooled or first) .. ' ' .. last .. ' ' .. where)
  if loc then redis.call('HSET', reg, 'home', ARGV[7]) end
end
local out, finished = {'ok'}, {}
for r, x in ipairs(ranges) do
  redis.call('HSET', reg, 'i:' .. x.name .. ':' .. sink, int(x.to))
  local off = trim(KEYS[r + 1], x.name, x.len, x.sinks, span)
  if not off then finished[x.shape] = true end
  out[#out + 1] = off and int(off) or 'gone'
end
for a = 8 + n * 3 + 1, #ARGV, 2 do
  book(sink, ARGV[a], ARGV[a + 1])
end
if ARGV[8] ~= '' then redis.call('HSET', reg, 'p:' .. sink, ARGV[8]) end
shed(sink, first, last)
if where == '' then passed(sink, last) end -- what was recorded of members that are spooled holds until they come back
sweep(finished)
return out
