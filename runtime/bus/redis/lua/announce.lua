-- Enters a component in the registry. ARGV 2 field, 3 entry, 4 TTL (ms).
redis.call('HSET', prefix .. 'registry', ARGV[2], ARGV[3])
redis.call('ZADD', prefix .. 'registry:seen', now() + ARGV[4], ARGV[2])
return 1
