-- KEYS suspect stretches. ARGV id, from and to in ms, claims, lineage. Several pumps may notice the same: what they saw is joined.
local from, to, claims = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local v = redis.call('HGET', reg, ARGV[1])
if v then
  local f, t, n = string.match(v, '^(%d+) (%d+) (%d+)')
  from, to, claims = math.min(from, tonumber(f)), math.max(to, tonumber(t)), math.max(claims, tonumber(n))
end
redis.call('HSET', reg, ARGV[1], int(from) .. ' ' .. int(to) .. ' ' .. int(claims) .. ' ' .. ARGV[5])
return {'ok'}
