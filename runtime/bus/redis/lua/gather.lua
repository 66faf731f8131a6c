-- Keeps a part and returns all. ARGV 2 key, 3 part, 4 value, 5 TTL (ms).
local key = prefix .. 'gather:' .. ARGV[2]
redis.call('HSETNX', key, ARGV[3], ARGV[4])
redis.call('PEXPIRE', key, ARGV[5])
return redis.call('HGETALL', key)
