-- A replica lives, and gets partitions. ARGV 2 component, 3 replica, 4 lease
-- (ms), 5 messages in flight, 6 dedup window (ms). Returns the time, how many
-- partitions it should have, whether publishers are told of the component, and
-- for each partition that it has: number, epoch, and the entry up to which the
-- owner before may have died of one, or ''.
local component, me, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
local members, owners = prefix .. 'members:' .. component, prefix .. 'lease:' .. component
local suspects = prefix .. 'suspect:' .. component
local t = now()
local joined = redis.call('ZADD', members, t + lease, me) == 1
redis.call('HSET', prefix .. 'inflight:' .. component, me, ARGV[5])
redis.call('SADD', prefix .. 'queues', component)
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', '(' .. string.format('%.0f', t))) do
  redis.call('ZREM', members, dead)
  redis.call('HDEL', prefix .. 'inflight:' .. component, dead)
end

local all, live, rank = redis.call('ZRANGE', members, 0, -1), {}, 0
table.sort(all)
for i, m in ipairs(all) do
  live[m] = true
  if m == me then rank = i - 1 end
end
local quota = math.floor(PARTITIONS / #all)
if rank < PARTITIONS % #all then quota = quota + 1 end

-- A lease is the epoch, a space, and who has it, if anyone.
local epoch, owner, mine = {}, {}, {}
for p = 0, PARTITIONS - 1 do
  epoch[p], owner[p] = string.match(redis.call('HGET', owners, p) or '0 ', '^(%d+) (.*)$')
  if owner[p] ~= '' and not live[owner[p]] then
    -- It died, and whatever it had begun may be the reason.
    local last = redis.call('XREVRANGE', queue(component, p), '+', '-', 'COUNT', 1)[1]
    redis.call('HSET', suspects, p, last and last[1] or '')
    owner[p] = ''
  end
  if owner[p] == me then mine[#mine + 1] = p end
end
for p = 0, PARTITIONS - 1 do
  if owner[p] == '' and #mine < quota then
    -- It grows even where the server has lost the one before.
    epoch[p] = string.format('%.0f', math.max(tonumber(epoch[p]) + 1, t))
    redis.call('HSET', owners, p, epoch[p] .. ' ' .. me)
    mine[#mine + 1] = p
  end
end
if joined and #all > 1 then redis.call('XADD', prefix .. 'wake:' .. component, 'MAXLEN', 1, '*', 'by', me) end
redis.call('XTRIM', prefix .. 'done:' .. component, 'MINID', '~', string.format('%.0f', t - ARGV[6]))
redis.call('EXPIRE', prefix .. 'done:' .. component, 3600)

local out = {string.format('%.0f', t), quota, redis.call('HEXISTS', prefix .. 'subs', component)}
for _, p in ipairs(mine) do
  out[#out + 1] = p
  out[#out + 1] = epoch[p]
  out[#out + 1] = redis.call('HGET', suspects, p) or ''
end
return out
