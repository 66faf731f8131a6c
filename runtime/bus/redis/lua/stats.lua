-- Counts everything at one moment. Returns for each component: name, queued,
-- delayed, parked, dead, in flight, replicas, time of the oldest (ms) or 0,
-- handled, retried, buried; before them the time and the version of the
-- subscriptions.
local t = now()
local out = {string.format('%.0f', t), redis.call('GET', prefix .. 'version') or '0'}
for _, c in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
  local queued, oldest, inflight = 0, 0, 0
  local function age(ms)
    ms = tonumber(ms)
    if ms and (oldest == 0 or ms < oldest) then oldest = ms end
  end
  for p = 0, PARTITIONS - 1 do
    local n = redis.call('XLEN', queue(c, p))
    queued = queued + n
    if n > 0 then
      local first = redis.call('XRANGE', queue(c, p), '-', '+', 'COUNT', 1)[1]
      age(string.match(first[1], '^%d+'))
      if first[2][3] == 'h' then age(string.match(first[2][4], '"q":(%d+)')) end
    end
  end
  local delayed = redis.call('ZCARD', prefix .. 'delayed:' .. c)
  if delayed > 0 then
    for _, s in ipairs(redis.call('ZRANGE', prefix .. 'delayed:' .. c, 0, 9)) do
      age(string.match(s, '^%d+\n[^\n]*\n[^\n]-"q":(%d+)'))
    end
  end
  for _, n in ipairs(redis.call('HVALS', prefix .. 'inflight:' .. c)) do inflight = inflight + n end
  local counts = redis.call('HMGET', prefix .. 'counts:' .. c, 'handled', 'retried', 'dead')
  out[#out + 1] = {c, queued, delayed,
    tonumber(redis.call('GET', prefix .. 'parkedn:' .. c) or 0),
    redis.call('XLEN', prefix .. 'dead:' .. c), inflight,
    redis.call('ZCOUNT', prefix .. 'members:' .. c, t, '+inf'), oldest,
    tonumber(counts[1] or 0), tonumber(counts[2] or 0), tonumber(counts[3] or 0)}
end
return out
