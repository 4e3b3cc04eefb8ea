-- KEYS the hash of the pumps. ARGV token, how long it counts in ms, 0: it leaves; mark of those that feed the same sinks, which alone
-- are counted. It is no part of the drain: whatever it says, leases
-- alone decide who has a list.
local t = now()
local all = redis.call('HGETALL', reg)
local n = 0
local mark = ARGV[3] .. ':'
for i = 1, #all, 2 do
  if tonumber(all[i + 1]) <= t or all[i] == mark .. ARGV[1] then
    redis.call('HDEL', reg, all[i])
  elseif string.sub(all[i], 1, #mark) == mark then
    n = n + 1
  end
end
if ARGV[2] ~= '0' then
  redis.call('HSET', reg, mark .. ARGV[1], int(t + tonumber(ARGV[2])))
  redis.call('EXPIRE', reg, 2 + math.floor(tonumber(ARGV[2]) / 500))
  n = n + 1
end
return {'ok', int(n)}
