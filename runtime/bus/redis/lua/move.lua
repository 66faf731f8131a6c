-- Puts what is due back. ARGV 2 component, 3 limit. Returns the milliseconds to
-- the next one, or -1.
move(ARGV[2], ARGV[3])
local n = redis.call('ZRANGE', prefix .. 'delayed:' .. ARGV[2], 0, 0, 'WITHSCORES')
if not n[2] then return -1 end
return math.max(0, n[2] - now())
