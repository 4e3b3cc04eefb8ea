-- KEYS registry, list. ARGV token, lease in ms, state directory, embedded, random hex, lineage if new, list is wanted,
-- newest epoch that is known or empty, session.
local t = now()
local kind = redis.call('TYPE', KEYS[2])
kind = type(kind) == 'table' and kind.ok or kind
if kind ~= 'none' and kind ~= 'list' then return {'type', kind} end
local h = redis.call('HMGET', reg, 'v', 'owner', 'until', 'home', 'epoch', 'ids', 'n')
if h[1] and h[1] ~= '1' and h[1] ~= '2' then return {'version', h[1]} end
local wanted = kind == 'list' and ARGV[7] == '1'
if not h[1] and not wanted then return {'idle'} end
if h[2] and h[2] ~= ARGV[1] and tonumber(h[3] or '0') > t then
  return {'other', int(tonumber(h[3]) - t), h[3]}
end
local all = redis.call('HGETALL', reg)
local open, loc = false, false
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'c:' then
    local _, _, _, _, l = claim(all[i + 1])
    open, loc = true, loc or l
  elseif string.sub(all[i], 1, 2) == 's:' then
    open = true
  end
end
if not open and not wanted then return {'idle'} end
if h[4] and h[4] ~= ARGV[3] then return {'home', h[4]} end
local id, why, e = identity(ARGV[4])
if not id then return {why, e} end
if not h[1] then
  redis.call('HSET', reg, 'v', '1')
  redis.call('HSET', reg, 'lineage', ARGV[6])
  redis.call('HSET', reg, 'n', '0')
  redis.call('HSET', reg, 'taken', '0')
end
local last = h[5] and tonumber(string.sub(h[5], 1, 12), 16) or 0
local known = ARGV[8] ~= '' and tonumber(string.sub(ARGV[8], 1, 12), 16) or 0
if h[6] ~= id or known > last then -- another server, or this one as it was before the epoch that is known
  local epoch = string.format('%012x', math.max(t, last + 1, known + 1)) .. ARGV[5]
  redis.call('HSET', reg, 'epoch', epoch)
  redis.call('HSET', reg, 'base', epoch .. ' ' .. (h[7] or '0'))
  redis.call('HSET', reg, 'ids', id)
end
if loc and not h[4] then redis.call('HSET', reg, 'home', ARGV[3]) end
redis.call('HSET', reg, 'owner', ARGV[1])
redis.call('HSET', reg, 'session', ARGV[9])
redis.call('HSET', reg, 'until', int(t + tonumber(ARGV[2])))
return {'taken', int(t), redis.call('HGETALL', reg)}
