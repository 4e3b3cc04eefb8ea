-- KEYS registry. ARGV token and session, lineage, sink, position of what lies first in the spool, that up to which it is done with, number
-- of records between them, the sink's note or empty, then (column, count) pairs of what became of them.
local h = redis.call('HMGET', reg, 'owner', 'lineage')
if not mine(h[1], ARGV[1]) or h[2] ~= ARGV[2] then return {'lost'} end
local sink, before, after = ARGV[3], ARGV[4], ARGV[5]
local from, to, where = spool(sink)
if not from or reached(after, from) then return {'done'} end
if from ~= before or not reached(after, to) then return {'stale'} end
redis.call('HINCRBY', reg, 'k:' .. sink .. ':spooled', '-' .. ARGV[6])
if ARGV[7] ~= '' then redis.call('HSET', reg, 'p:' .. sink, ARGV[7]) end
for a = 8, #ARGV, 2 do book(sink, ARGV[a], ARGV[a + 1]) end
shed(sink, before, after)
passed(sink, after)
if after == to then
  redis.call('HDEL', reg, 's:' .. sink)
  sweep({}, true)
else
  redis.call('HSET', reg, 's:' .. sink, after .. ' ' .. to .. ' ' .. where)
end
return {'ok'}
