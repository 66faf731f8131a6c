-- A replica gives partitions back; it has nothing of them in flight. ARGV 2
-- component, 3 replica, 4 whether it leaves for good ('1'), then number and
-- epoch of each.
local component, me = ARGV[2], ARGV[3]
local owners = prefix .. 'lease:' .. component
for i = 5, #ARGV, 2 do
  local p = ARGV[i]
  if redis.call('HGET', owners, p) == ARGV[i + 1] .. ' ' .. me then
    redis.call('HSET', owners, p, ARGV[i + 1] .. ' ')
  end
end
if ARGV[4] == '1' then
  redis.call('ZREM', prefix .. 'members:' .. component, me)
  redis.call('HDEL', prefix .. 'inflight:' .. component, me)
  redis.call('EXPIRE', prefix .. 'done:' .. component, 3600)
end
if redis.call('ZCARD', prefix .. 'members:' .. component) > 0 then
  redis.call('XADD', prefix .. 'wake:' .. component, 'MAXLEN', 1, '*', 'by', me)
end
return 1
