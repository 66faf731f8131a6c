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
--
-- Every message goes through here, one at a time where there is little to do:
-- what is usual is done in line, and the functions for what isn't are made when
-- that comes.
local call, args = redis.call, ARGV
if args[2] ~= '' and (call('GET', prefix .. 'version') or '0') ~= args[2] then return {'stale'} end
local component, me, leases, p, stream, owned
local out, done, trail = {}, '', nil
local handled, retried = 0, 0
local i, last, tailing = 4, #args, nil

-- close writes down what there is of a replica in sum.
local function close()
  if done ~= '' then call('XADD', prefix .. 'done:' .. component, 'MAXLEN', '~', 20000, '*', 'd', done) end
  if handled > 0 then call('HINCRBY', prefix .. 'counts:' .. component, 'handled', handled) end
  if retried > 0 then call('HINCRBY', prefix .. 'counts:' .. component, 'retried', retried) end
  done, handled, retried = '', 0, 0
end

local function take(entry, struck)
  if not owned or call('XDEL', stream, entry) == 0 then return false end
  if struck == '1' then call('HDEL', prefix .. 'strikes:' .. component .. ':' .. p, entry) end
  return true
end

-- sends takes n outputs, and sends them where that is really to be done.
local function sends(n, really)
  if really and tailing == nil then tailing = call('EXISTS', prefix .. 'tailing') == 1 end
  for _ = 1, n do
    if really then
      local kind, name, m = args[i], args[i + 1], args[i + 3]
      if tailing and args[i + 7] == '1' then tail(m) end
      send(kind, name, args[i + 2], m, args[i + 4], args[i + 5], args[i + 6])
      if kind == 'q' or kind == 'l' then call('SADD', prefix .. 'queues', name) end
    end
    i = i + 8
  end
end

-- ended answers for a message that was taken, or couldn't be.
local function ended(taken, id, session)
  if taken then return session == '' and 'kept' or advance(component, p, id, session) end
  return owned and 'gone' or 'lost'
end

-- rare does what isn't usual; its arguments begin at i.
local function rare(op)
  local entry, id, session = args[i], args[i + 1], args[i + 2]
  local heads = prefix .. 'heads:' .. component .. ':' .. p
  if op == 'X' then
    local struck = args[i + 3]
    i = i + 4
    return ended(take(entry, struck), id, session)
  elseif op == 'R' then
    local struck, delay, history, m = args[i + 3], args[i + 4], args[i + 5], args[i + 6]
    i = i + 7
    if not take(entry, struck) then return owned and 'gone' or 'lost' end
    retried = retried + 1
    call('ZADD', prefix .. 'delayed:' .. component, now() + delay, p .. '\n' .. entry .. '\n' .. history .. '\n' .. m)
    if session ~= '' then call('HSETNX', heads, session, id) end
    return 'delayed'
  elseif op == 'D' then
    local struck, m, problem, attempts, first, n =
      args[i + 3], args[i + 4], args[i + 5], args[i + 6], args[i + 7], args[i + 8]
    i = i + 9
    local taken = take(entry, struck)
    sends(tonumber(n), taken)
    if taken then bury(component, m, problem, attempts, first) end
    return ended(taken, id, session)
  elseif op == 'K' then
    local history, m = args[i + 3], args[i + 4]
    i = i + 5
    local head = call('HGET', heads, session)
    if not owned then return 'lost' end
    if not head then return 'go' end
    if head == id then return 'head' end
    if not take(entry, '0') then return 'gone' end
    call('RPUSH', prefix .. 'parked:' .. component .. ':' .. session, id, history, m)
    call('INCR', prefix .. 'parkedn:' .. component)
    return 'parked'
  elseif op == 'S' then
    i = i + 1
    if not owned then return 'lost' end
    return call('HINCRBY', prefix .. 'strikes:' .. component .. ':' .. p, entry, 1)
  end
  error('settle: there is no operation ' .. op)
end

while i <= last do
  local op = args[i]
  i = i + 1
  if op == 'F' then
    local first = i + 1
    i = first + tonumber(args[i])
    if owned then handled = handled + call('XDEL', stream, unpack(args, first, i - 1)) end
  elseif op == 'P' then
    p = args[i]
    stream = queue(component, p)
    owned = call('HGET', leases, p) == args[i + 1] .. ' ' .. me
    if owned then
      done = done .. args[i + 2]
      if args[i + 3] ~= '' then
        trail = trail or {}
        trail[#trail + 1] = args[i + 3]
      end
    end
    out[#out + 1] = owned and 1 or 0
    i = i + 4
  elseif op == 'C' then
    if component then close() end
    component, me = args[i], args[i + 1]
    leases = prefix .. 'lease:' .. component
    i = i + 2
  elseif op == 'O' then
    local id, session, n = args[i + 1], args[i + 2], tonumber(args[i + 4])
    local taken = take(args[i], args[i + 3])
    i = i + 5
    sends(n, taken)
    if taken then handled = handled + 1 end
    out[#out + 1] = ended(taken, id, session)
  else
    out[#out + 1] = rare(op)
  end
end

if component then close() end
if trail then call('XADD', prefix .. 'trail', 'MAXLEN', '~', 10000, '*', 't', table.concat(trail)) end
local dropped = tonumber(args[3])
if dropped > 0 then call('INCRBY', prefix .. 'dropped', dropped) end
return out
