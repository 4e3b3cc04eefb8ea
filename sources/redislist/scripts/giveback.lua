-- KEYS registry. ARGV token and session.
if not mine(redis.call('HGET', reg, 'owner'), ARGV[1]) then return {'lost'} end
redis.call('HDEL', reg, 'owner', 'session', 'until')
return {'ok'}
