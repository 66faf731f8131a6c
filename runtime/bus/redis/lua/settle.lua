-- What became of messages, in the order in which it happened. ARGV 2 version of
-- the subscriptions that outputs were routed by, or '', 3 outputs that nobody
-- wants, then operations:
--
--   C component replica             the next ones are this replica's
--   P partition epoch done trail    the next ones are about this partition;
--                                   ids that are finished, and hops
--   F n entry…                      finished, nothing to send
--   O entry id session struck n (kind name arg m limit reply_to reply first)…
--                                   finished, with outputs
--   X entry id session struck       was finished before
--   R entry id session struck delay history m
--   D entry id session struck m error attempts first n (send)…
--   K entry id session history m    wait behind the head of the session
--   S entry                         the handler is about to begin, under suspicion
--
-- A partition that this replica doesn't own any more is left alone. Returns an
-- answer for each operation but C and F: for P 1, or 0 for not owned.
if ARGV[2] ~= '' and (redis.call('GET', prefix .. 'version') or '0') ~= ARGV[2] then return {'stale'} end
local component, me, counts, leases
local out, done, trail = {}, {}, {}
local p, stream, heads, owned
local handled, retried, dropped = 0, 0, tonumber(ARGV[3])
local tailing = redis.call('EXISTS', prefix .. 'tailing') == 1
local i = 4

local function arg()
  i = i + 1
  return ARGV[i - 1]
end
local function answer(a) out[#out + 1] = a end

local function sends(n, really)
  for _ = 1, n do
    local kind, name, a, m, limit, reply_to, reply, first = arg(), arg(), arg(), arg(), arg(), arg(), arg(), arg()
    if really then
      if tailing and first == '1' then tail(m) end
      send(kind, name, a, m, limit, reply_to, reply)
      if kind == 'q' or kind == 'l' then redis.call('SADD', prefix .. 'queues', name) end
    end
  end
end

-- close writes down what there is of a replica in sum.
local function close()
  if not component then return end
  local d = table.concat(done)
  if d ~= '' then
    redis.call('XADD', prefix .. 'done:' .. component, 'MAXLEN', '~', 20000, '*', 'd', d)
  end
  if handled > 0 then redis.call('HINCRBY', counts, 'handled', handled) end
  if retried > 0 then redis.call('HINCRBY', counts, 'retried', retried) end
  done, handled, retried = {}, 0, 0
end

local ops = {}
function ops.C()
  close()
  component, me = arg(), arg()
  counts, leases = prefix .. 'counts:' .. component, prefix .. 'lease:' .. component
end
function ops.P()
  p = arg()
  local epoch, d, t = arg(), arg(), arg()
  stream, heads = queue(component, p), prefix .. 'heads:' .. component .. ':' .. p
  owned = redis.call('HGET', leases, p) == epoch .. ' ' .. me
  if owned then
    done[#done + 1], trail[#trail + 1] = d, t
  end
  answer(owned and 1 or 0)
end
function ops.F()
  local n = tonumber(arg())
  if owned then handled = handled + redis.call('XDEL', stream, unpack(ARGV, i, i + n - 1)) end
  i = i + n
end
local function take(entry, struck)
  if not owned or redis.call('XDEL', stream, entry) == 0 then return false end
  if struck == '1' then redis.call('HDEL', prefix .. 'strikes:' .. component .. ':' .. p, entry) end
  return true
end
function ops.O()
  local entry, id, session, struck, n = arg(), arg(), arg(), arg(), arg()
  local really = take(entry, struck)
  sends(tonumber(n), really)
  if really then
    handled = handled + 1
    answer(advance(component, p, id, session))
  else
    answer(owned and 'gone' or 'lost')
  end
end
function ops.X()
  local entry, id, session, struck = arg(), arg(), arg(), arg()
  if take(entry, struck) then
    answer(advance(component, p, id, session))
  else
    answer(owned and 'gone' or 'lost')
  end
end
function ops.R()
  local entry, id, session, struck, delay, history, m = arg(), arg(), arg(), arg(), arg(), arg(), arg()
  if not take(entry, struck) then
    answer(owned and 'gone' or 'lost')
    return
  end
  retried = retried + 1
  redis.call('ZADD', prefix .. 'delayed:' .. component, now() + delay, p .. '\n' .. entry .. '\n' .. history .. '\n' .. m)
  if session ~= '' then redis.call('HSETNX', heads, session, id) end
  answer('delayed')
end
function ops.D()
  local entry, id, session, struck, m, problem, attempts, first, n =
    arg(), arg(), arg(), arg(), arg(), arg(), arg(), arg(), arg()
  local really = take(entry, struck)
  sends(tonumber(n), really)
  if really then
    bury(component, m, problem, attempts, first)
    answer(advance(component, p, id, session))
  else
    answer(owned and 'gone' or 'lost')
  end
end
function ops.K()
  local entry, id, session, history, m = arg(), arg(), arg(), arg(), arg()
  local head = redis.call('HGET', heads, session)
  if not owned then
    answer('lost')
  elseif not head then
    answer('go')
  elseif head == id then
    answer('head')
  elseif take(entry, '0') then
    redis.call('RPUSH', prefix .. 'parked:' .. component .. ':' .. session, id, history, m)
    redis.call('INCR', prefix .. 'parkedn:' .. component)
    answer('parked')
  else
    answer('gone')
  end
end
function ops.S()
  local entry = arg()
  if owned then
    answer(redis.call('HINCRBY', prefix .. 'strikes:' .. component .. ':' .. p, entry, 1))
  else
    answer('lost')
  end
end

while i <= #ARGV do ops[arg()]() end

close()
local t = table.concat(trail)
if t ~= '' then redis.call('XADD', prefix .. 'trail', 'MAXLEN', '~', 10000, '*', 't', t) end
if dropped > 0 then redis.call('INCRBY', prefix .. 'dropped', dropped) end
return out
