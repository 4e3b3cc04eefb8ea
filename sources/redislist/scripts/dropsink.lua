-- KEYS registry, claims. ARGV sink, span, then the claims' names. An operator's: it asks no owner. A pump that works on the
-- list meanwhile finds its next settle of that sink stale and reads the registry again.
local sink, span, dropped, finished = ARGV[1], tonumber(ARGV[2]), 0, {}
local emptied = false
for i = 2, #KEYS do
  local name = ARGV[i + 1]
  local v = redis.call('HGET', reg, 'c:' .. name)
  if v then
    local len, ms, key, sinks, loc = claim(v)
    if owes(sinks, sink) then
      dropped = dropped + len - tonumber(redis.call('HGET', reg, 'i:' .. name .. ':' .. sink) or '0')
      local rest = {}
      for s in string.gmatch(sinks, '[^,]+') do
        if s ~= sink then rest[#rest + 1] = s end
      end
      redis.call('HDEL', reg, 'i:' .. name .. ':' .. sink)
      sinks = table.concat(rest, ',')
      if #rest > 0 then
        redis.call('HSET', reg, 'c:' .. name, int(len) .. ' ' .. ms .. ' ' .. key .. ' ' .. sinks .. (loc and ' local' or ''))
      end
      if not trim(KEYS[i], name, len, sinks, span) then finished[key] = true end
    end
  end
end
redis.call('HDEL', reg, 'm:' .. sink)
if spool(sink) then
  local n = tonumber(redis.call('HGET', reg, 'k:' .. sink .. ':spooled') or '0')
  redis.call('HDEL', reg, 's:' .. sink)
  emptied = true
  redis.call('HINCRBY', reg, 'k:' .. sink .. ':spooled', int(-n))
  dropped = dropped + n
end
if dropped > 0 then
  redis.call('HINCRBY', reg, 'k:' .. sink .. ':filtered', int(dropped))
  redis.call('HINCRBY', reg, 'k:' .. sink .. ':released', int(dropped))
end
sweep(finished, emptied)
return {'ok', int(dropped)}
