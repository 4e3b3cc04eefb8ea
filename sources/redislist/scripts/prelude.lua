-- Every script begins with a write that Redis allows at maxmemory and that changes nothing: the later ones pass then.
local reg = KEYS[1]
redis.call('HDEL', reg, '-')

-- mine tells whether a script, which comes with `token session`, is from the session that leases the list. What a pump had sent
-- before its connection broke may arrive after it has leased the list anew: it must not change what was read by then.
local function mine(owner, id)
  return owner and owner .. ' ' .. (redis.call('HGET', reg, 'session') or '') == id
end

local function int(x) return string.format('%.0f', x) end

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- identity is the server's run and replication ID. A server without INFO has a fixed one, if that is accepted.
local function identity(embedded)
  local a = redis.pcall('INFO', 'server')
  local b = redis.pcall('INFO', 'replication')
  for _, r in ipairs({a, b}) do
    if type(r) == 'table' then
      local e = tostring(r.err)
      if embedded == '1' then return 'embedded' end
      if string.find(e, 'NOPERM') or string.find(e, 'permission') or string.find(e, "can't run") then
        return nil, 'noperm', e
      end
      return nil, 'noinfo', e
    end
  end
  local run, repl = string.match(a, 'run_id:(%x+)'), string.match(b, 'master_replid:(%x+)')
  if not run or not repl then return nil, 'noinfo', 'INFO shows no run_id or master_replid' end
  return run .. ':' .. repl
end

-- claim reads a c: field.
local function claim(v)
  local len, ms, key, sinks, rest = string.match(v, '^(%d+) (%d+) (%S+) (%S+)(.*)$')
  return tonumber(len), ms, key, sinks, rest == ' local'
end

local function owes(sinks, sink) return string.find(',' .. sinks .. ',', ',' .. sink .. ',', 1, true) ~= nil end

-- spool reads an s: field: the position of what lies first in the spool, that behind the last, and where it is.
local function spool(sink)
  local v = redis.call('HGET', reg, 's:' .. sink)
  if not v then return end
  return string.match(v, '^(%S+) (%S+) (.+)$')
end

-- reached tells whether p <= q. Positions have a fixed width. They are compared byte by byte, since Lua compares strings
-- as the server's locale has it.
local function reached(p, q)
  for i = 1, #p do
    local a, b = string.byte(p, i), string.byte(q, i)
    if a ~= b then return a < b end
  end
  return true
end

local function position(name, index) return name .. '-' .. string.format('%010d', index) end

-- passed clears a sink's recorded members when it has passed them.
local function passed(sink, pos)
  local m = redis.call('HGET', reg, 'm:' .. sink)
  if m and reached(string.match(m, '^%S+ (%S+)'), pos) then redis.call('HDEL', reg, 'm:' .. sink) end
end

-- spools tells whether anything lies in a spool, and whether in one of a state directory.
local function spools()
  local any, loc = false, false
  local all = redis.call('HGETALL', reg)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 's:' then
      any = true
      loc = loc or string.find(all[i + 1], ' dir:', 1, true) ~= nil
    end
  end
  return any, loc
end

-- trim cuts a claim to the least of the cursors it owes, aligned down to a span, or removes it when all are at its end.
-- It answers the offset, or false when the claim is gone.
local function trim(key, name, len, sinks, span)
  local least = len
  for s in string.gmatch(sinks, '[^,]+') do
    least = math.min(least, tonumber(redis.call('HGET', reg, 'i:' .. name .. ':' .. s) or '0'))
  end
  if least >= len then
    redis.call('UNLINK', key)
    for s in string.gmatch(sinks, '[^,]+') do redis.call('HDEL', reg, 'i:' .. name .. ':' .. s) end
    redis.call('HDEL', reg, 'c:' .. name, 'o:' .. name)
    return false
  end
  local off = tonumber(redis.call('HGET', reg, 'o:' .. name) or '0')
  local to = least - least % span
  if to > off then
    redis.call('LTRIM', key, int(to - off), '-1')
    redis.call('HSET', reg, 'o:' .. name, int(to))
    off = to
  end
  return off
end

-- book adds to a column of the ledger, or remembers when what is shed was claimed.
local from_ms, to_ms
local function book(sink, column, n)
  if column == 'shed_from' then
    from_ms = n
  elseif column == 'shed_to' then
    to_ms = n
  else
    redis.call('HINCRBY', reg, 'k:' .. sink .. ':' .. column, n)
  end
end

-- shed keeps the bounds of what was ever shed of the list for a sink: server milliseconds of the first and the last claim, and
-- positions.
local function shed(sink, first, last)
  if not to_ms then return end
  local v = redis.call('HGET', reg, 'd:' .. sink)
  if v then
    local ms, last_ms, before = string.match(v, '^(%d+) (%d+) (%S+)')
    first = before
    from_ms = int(math.min(tonumber(ms), tonumber(from_ms)))
    to_ms = int(math.max(tonumber(last_ms), tonumber(to_ms)))
  end
  redis.call('HSET', reg, 'd:' .. sink, from_ms .. ' ' .. to_ms .. ' ' .. first .. ' ' .. last)
end

-- sweep removes what nothing refers to any more, after claims with these shape keys have finished, or after a spool was
-- emptied. The newest claim nearly always vouches for all of it; only if not are the others looked at. What lies in a spool
-- of a state directory vouches for the home.
local function sweep(keys, emptied)
  if next(keys) == nil and not emptied then return end
  local h = redis.call('HMGET', reg, 'epoch', 'n', 'home', 'v')
  local home = h[3]
  if h[4] == '2' and (home or emptied) then
    local any, loc = spools()
    if not any then redis.call('HSET', reg, 'v', '1') end
    if loc then home = false end
  end
  local function vouch(v)
    if not v then return end
    local _, _, key, _, loc = claim(v)
    keys[key] = nil
    if loc then home = false end
  end
  vouch(redis.call('HGET', reg, 'c:' .. h[1] .. '-' .. string.format('%010d', tonumber(h[2]))))
  if next(keys) ~= nil or home then
    for _, f in ipairs(redis.call('HKEYS', reg)) do
      if string.sub(f, 1, 2) == 'c:' then vouch(redis.call('HGET', reg, f)) end
      if next(keys) == nil and not home then break end
    end
  end
  for key in pairs(keys) do redis.call('HDEL', reg, 'f:' .. key) end
  if home then redis.call('HDEL', reg, 'home') end
end
