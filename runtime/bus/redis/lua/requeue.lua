-- Moves a dead letter back to its queue. ARGV 2 component, 3 dead letter, 4
-- partition, 5 envelope. Returns 0 where it isn't there any more.
if redis.call('XDEL', prefix .. 'dead:' .. ARGV[2], ARGV[3]) == 0 then return 0 end
redis.call('XADD', queue(ARGV[2], ARGV[4]), '*', 'm', ARGV[5], 'h', string.format('{"q":%.0f,"r":true}', now()))
redis.call('SADD', prefix .. 'queues', ARGV[2])
return 1
