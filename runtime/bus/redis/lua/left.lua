-- What is not finished: names of components and how much it is, of those that
-- have something.
local out = {}
for _, c in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
  local n = depth(c)
  if n > 0 then
    out[#out + 1], out[#out + 2] = c, n
  end
end
return out
