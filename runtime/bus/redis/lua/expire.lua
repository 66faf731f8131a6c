-- Buries a message that nobody reads. ARGV 2 component, 3 partition, 4 entry, 5
-- envelope, 6 error, 7 attempts, 8 inbox of who waits, 9 what it is told, 10
-- message id, 11 session.
if redis.call('ZCOUNT', prefix .. 'members:' .. ARGV[2], now(), '+inf') > 0 then return 0 end
if redis.call('XDEL', queue(ARGV[2], ARGV[3]), ARGV[4]) == 0 then return 0 end
bury(ARGV[2], ARGV[5], ARGV[6], ARGV[7], 0)
if ARGV[8] ~= '' then send('i', ARGV[8], 600, ARGV[9]) end
advance(ARGV[2], ARGV[3], ARGV[10], ARGV[11])
return 1
