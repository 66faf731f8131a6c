-- The oldest messages of queues that no replica reads. ARGV 2 replica, 3
-- milliseconds until someone may look again, 4 limit. Returns the time, then
-- for each component, partition, entry and its fields.
local t = now()
local out = {string.format('%.0f', t)}
if not redis.call('SET', prefix .. 'sweep', ARGV[2], 'NX', 'PX', ARGV[3]) then return out end
for _, c in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
  if redis.call('ZCOUNT', prefix .. 'members:' .. c, t, '+inf') == 0 then
    move(c, ARGV[4])
    for p = 0, PARTITIONS - 1 do
      for _, e in ipairs(redis.call('XRANGE', queue(c, p), '-', '+', 'COUNT', 10)) do
        out[#out + 1] = {c, p, e[1], e[2]}
        if #out > tonumber(ARGV[4]) then return out end
      end
    end
  end
end
return out
