-- Who is in the registry.
for _, f in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'registry:seen', '-inf', '(' .. string.format('%.0f', now()))) do
  redis.call('HDEL', prefix .. 'registry', f)
  redis.call('ZREM', prefix .. 'registry:seen', f)
end
return redis.call('HVALS', prefix .. 'registry')
