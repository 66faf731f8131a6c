-- Makes a dead letter of a message that is on no queue. ARGV 2 component, 3
-- envelope, 4 error, 5 attempts, 6 time of the first (ms), 7 inbox of who
-- waits, 8 what it is told.
bury(ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
if ARGV[7] ~= '' then send('i', ARGV[7], 600, ARGV[8]) end
return 1
