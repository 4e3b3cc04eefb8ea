-- KEYS registry. ARGV token.
if redis.call('HGET', reg, 'owner') ~= ARGV[1] then return {'lost'} end
redis.call('HDEL', reg, 'owner', 'until')
return {'ok'}
