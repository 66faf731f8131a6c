-- What all scripts begin with. KEYS[1] is any key of the project: all of them
-- are in one slot. Names are made from the prefix, ARGV[1].
local prefix = ARGV[1]
local PARTITIONS = 16

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function queue(component, partition)
  return prefix .. 'q:' .. component .. ':' .. partition
end

-- depth counts all that is not finished.
local function depth(component)
  local n = redis.call('ZCARD', prefix .. 'delayed:' .. component)
    + tonumber(redis.call('GET', prefix .. 'parkedn:' .. component) or 0)
  for p = 0, PARTITIONS - 1 do
    n = n + redis.call('XLEN', queue(component, p))
  end
  return n
end

-- tail copies what is sent for those who watch.
local function tail(m)
  redis.call('XADD', prefix .. 'tail', 'MAXLEN', '~', 1000, '*', 'm', m)
end

-- bury makes a dead letter. first is 0 where the message was never tried.
local function bury(component, m, problem, attempts, first)
  local t = string.format('%.0f', now())
  if tonumber(first) == 0 then first = t end
  redis.call('XADD', prefix .. 'dead:' .. component, '*', 'm', m, 'target', component,
    'error', problem, 'attempts', attempts, 'first', first, 'last', t)
  redis.call('HINCRBY', prefix .. 'counts:' .. component, 'dead', 1)
end

-- send puts an envelope where it goes: to a queue ('q', component, partition),
-- to one that diverts what is beyond its limit ('l', component, partition), or
-- to an inbox ('i', instance, seconds until it expires).
local function send(kind, name, arg, m, limit, reply_to, reply)
  if kind == 'i' then
    local inbox = prefix .. 'inbox:' .. name
    redis.call('XADD', inbox, '*', 'm', m)
    redis.call('EXPIRE', inbox, arg)
    return
  end
  if kind == 'n' then return end
  if kind == 'l' and depth(name) >= tonumber(limit) then
    bury(name, m, 'the queue is full: it has its limit of ' .. limit .. ' messages', 0, 0)
    if reply_to ~= '' then send('i', reply_to, 600, reply) end
    return
  end
  redis.call('XADD', queue(name, arg), '*', 'm', m)
end

-- advance lets a session go on after the message that held it up: it returns
-- the id of the one that is next, 'free' where there is none, or 'kept' where
-- another message holds it up.
local function advance(component, partition, id, session)
  local heads = prefix .. 'heads:' .. component .. ':' .. partition
  if session == '' or redis.call('HGET', heads, session) ~= id then return 'kept' end
  local parked = prefix .. 'parked:' .. component .. ':' .. session
  local next = redis.call('LPOP', parked)
  if not next then
    redis.call('HDEL', heads, session)
    return 'free'
  end
  local h, m = redis.call('LPOP', parked), redis.call('LPOP', parked)
  redis.call('DECR', prefix .. 'parkedn:' .. component)
  redis.call('HSET', heads, session, next)
  redis.call('XADD', queue(component, partition), '*', 'm', m, 'h', h)
  return next
end

-- move puts retries that are due back on their partitions.
local function move(component, limit)
  local delayed = prefix .. 'delayed:' .. component
  for _, s in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now(), 'LIMIT', 0, limit)) do
    local p, h, m = string.match(s, '^(%d+)\n[^\n]*\n([^\n]*)\n(.*)$')
    redis.call('XADD', queue(component, p), '*', 'm', m, 'h', h)
    redis.call('ZREM', delayed, s)
  end
end
