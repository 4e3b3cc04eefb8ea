-- KEYS registry. ARGV token and session, lease in ms, lineage, epoch, embedded.
local h = redis.call('HMGET', reg, 'owner', 'lineage', 'epoch', 'ids')
if not mine(h[1], ARGV[1]) or h[2] ~= ARGV[3] then return {'lost'} end
local id, why, e = identity(ARGV[5])
if not id then return {why, e} end
if h[3] ~= ARGV[4] or h[4] ~= id then return {'epoch'} end
redis.call('HSET', reg, 'until', int(now() + tonumber(ARGV[2])))
return {'ok'}
