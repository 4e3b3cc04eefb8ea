-- KEYS registry. An operator's: it asks no owner.
local home = redis.call('HGET', reg, 'home')
redis.call('HDEL', reg, 'home')
return {'ok', home or ''}
