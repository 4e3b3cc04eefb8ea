-- KEYS registry, suspect stretches, list, claims. Writes nothing. (MULTI would do as well, but Redis refuses it at maxmemory.)
local function len(key)
  local kind = redis.call('TYPE', key)
  kind = type(kind) == 'table' and kind.ok or kind
  return kind == 'list' and redis.call('LLEN', key) or 0
end
local out = {'ok', redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}
for i = 3, #KEYS do out[#out + 1] = len(KEYS[i]) end
return out
