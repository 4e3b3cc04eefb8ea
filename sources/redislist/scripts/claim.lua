-- KEYS registry, list, claim. ARGV token and session, lineage, epoch, number, claim's name, shape key, shape, sinks, state directory or
-- empty when no sink is local, embedded.
local h = redis.call('HMGET', reg, 'owner', 'lineage', 'epoch', 'ids', 'n', 'home')
if not mine(h[1], ARGV[1]) or h[2] ~= ARGV[2] then return {'lost'} end
local id, why, e = identity(ARGV[10])
if not id then return {why, e} end
if h[3] ~= ARGV[3] or h[4] ~= id then return {'epoch'} end
local name, number = ARGV[5], tonumber(ARGV[4])
local made = redis.call('HGET', reg, 'c:' .. name)
if made then
  redis.call('HSET', reg, 'c:' .. name, made) -- a write, so that a WAIT that follows covers the claim
  return {'made', made}
end
if tonumber(h[5]) ~= number - 1 then return {'lost'} end
if ARGV[9] ~= '' and h[6] and h[6] ~= ARGV[9] then return {'home', h[6]} end
local kind = redis.call('TYPE', KEYS[2])
kind = type(kind) == 'table' and kind.ok or kind
if kind ~= 'none' and kind ~= 'list' then return {'type', kind} end
if redis.call('EXISTS', KEYS[3]) == 0 then
  if kind == 'none' then return {'none'} end
  redis.call('RENAMENX', KEYS[2], KEYS[3])
end -- else a script that broke off behind its rename left it: it is this claim
redis.call('PERSIST', KEYS[3])
local len = int(redis.call('LLEN', KEYS[3]))
local v = len .. ' ' .. int(now()) .. ' ' .. ARGV[6] .. ' ' .. ARGV[8]
if ARGV[9] ~= '' then
  v = v .. ' local'
  redis.call('HSET', reg, 'home', ARGV[9])
end
redis.call('HSET', reg, 'f:' .. ARGV[6], ARGV[7])
redis.call('HSET', reg, 'c:' .. name, v)
redis.call('HSET', reg, 'o:' .. name, '0')
redis.call('HSET', reg, 'n', int(number))
redis.call('HINCRBY', reg, 'taken', len)
for s in string.gmatch(ARGV[8], '[^,]+') do redis.call('HINCRBY', reg, 'k:' .. s .. ':taken', len) end
return {'made', v}
