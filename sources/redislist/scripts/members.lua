-- KEYS registry. ARGV token and session, lineage, sink, value.
local h = redis.call('HMGET', reg, 'owner', 'lineage', 'm:' .. ARGV[3])
if not mine(h[1], ARGV[1]) or h[2] ~= ARGV[2] then return {'lost'} end
if h[3] and h[3] ~= ARGV[4] then return {'other', h[3]} end
redis.call('HSET', reg, 'm:' .. ARGV[3], ARGV[4])
return {'ok'}
