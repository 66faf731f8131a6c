-- Publishes to a queue that has a limit. ARGV 2 component, 3 partition, 4
-- envelope, 5 limit, 6 whether what is beyond it goes to the dead letters, 7
-- inbox of who waits, 8 what it is told. Returns 0 where it is full.
local component = ARGV[2]
redis.call('SADD', prefix .. 'queues', component)
if ARGV[6] == '1' then
  send('l', component, ARGV[3], ARGV[4], ARGV[5], ARGV[7], ARGV[8])
  return 1
end
if depth(component) >= tonumber(ARGV[5]) then return 0 end
redis.call('XADD', queue(component, ARGV[3]), '*', 'm', ARGV[4])
return 1
