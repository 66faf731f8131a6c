package redis

import "github.com/redis/go-redis/v9"

// Scripts about one message have KEYS 1 stream, 2 delayed, 3 dead, 4 heads,
// 5 parkedn, 6 parked, 7 done and ARGV 1 group, 2 entry, 3 message id,
// 4 session. take makes the message the caller's alone: 0 means that someone
// else has finished with it. advance lets a session go on after the message
// that held it up.
const prelude = `
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function take()
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return nil end
  local e = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
  redis.call('XDEL', KEYS[1], ARGV[2])
  if not e then return '' end
  for i = 1, #e[2], 2 do
    if e[2][i] == 'm' then return e[2][i + 1] end
  end
  return ''
end
local function advance()
  if ARGV[4] == '' or redis.call('HGET', KEYS[4], ARGV[4]) ~= ARGV[3] then return end
  local id = redis.call('LPOP', KEYS[6])
  if not id then
    redis.call('HDEL', KEYS[4], ARGV[4])
    return
  end
  local h, m = redis.call('LPOP', KEYS[6]), redis.call('LPOP', KEYS[6])
  redis.call('DECR', KEYS[5])
  redis.call('HSET', KEYS[4], ARGV[4], id)
  redis.call('XADD', KEYS[1], '*', 'm', m, 'h', h)
end
`

var (
	// beginScript decides whether a message is to be handled now. ARGV 5
	// consumer, 6 history. Returns a verdict and the server's time.
	beginScript = redis.NewScript(prelude + `
local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if not p[1] or p[1][2] ~= ARGV[5] then return {'gone', now()} end
if redis.call('EXISTS', KEYS[7]) == 1 then
  if take() then advance() end
  return {'duplicate', now()}
end
if ARGV[4] ~= '' then
  local head = redis.call('HGET', KEYS[4], ARGV[4])
  if head and head ~= ARGV[3] then
    local m = take()
    redis.call('RPUSH', KEYS[6], ARGV[3], ARGV[6], m)
    redis.call('INCR', KEYS[5])
    return {'parked', now()}
  end
end
return {'go', now()}`)

	// finishScript acknowledges a handled message and sends its outputs. KEYS 8
	// queues, 9 dropped, 10… streams; ARGV 5 window (s), 6 inbox TTL (s), 7
	// outputs without a receiver, then for each stream component and envelope;
	// an empty component is an inbox.
	finishScript = redis.NewScript(prelude + `
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
if redis.call('SET', KEYS[7], '1', 'NX', 'EX', ARGV[5]) then
  for i = 10, #KEYS do
    local component, m = ARGV[8 + (i - 10) * 2], ARGV[9 + (i - 10) * 2]
    redis.call('XADD', KEYS[i], '*', 'm', m)
    if component == '' then
      redis.call('EXPIRE', KEYS[i], ARGV[6])
    else
      redis.call('SADD', KEYS[8], component)
    end
  end
  if tonumber(ARGV[7]) > 0 then redis.call('INCRBY', KEYS[9], ARGV[7]) end
end
advance()
return 1`)

	// retryScript puts a message aside. ARGV 5 delay (ms), 6 history, 7
	// envelope. The message holds its session up from now on.
	retryScript = redis.NewScript(prelude + `
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], now() + ARGV[5], ARGV[2] .. '\n' .. ARGV[6] .. '\n' .. ARGV[7])
if ARGV[4] ~= '' then redis.call('HSETNX', KEYS[4], ARGV[4], ARGV[3]) end
return 1`)

	// deadScript puts a message to the dead letters. ARGV 5 component, 6 error,
	// 7 attempts, 8 time of the first attempt (ms) or 0.
	deadScript = redis.NewScript(prelude + `
local m = take()
if not m then return 0 end
local t = now()
local first = tonumber(ARGV[8])
if first == 0 then first = t end
redis.call('XADD', KEYS[3], '*', 'm', m, 'target', ARGV[5], 'error', ARGV[6], 'attempts', ARGV[7],
  'first', string.format('%.0f', first), 'last', string.format('%.0f', t))
advance()
return 1`)

	// moveScript puts what is due back on its stream. KEYS stream, delayed;
	// ARGV limit. Returns the milliseconds to the next one, or -1.
	moveScript = redis.NewScript(prelude + `
local t = now()
for _, s in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', t, 'LIMIT', 0, ARGV[1])) do
  local a = string.find(s, '\n', 1, true)
  local b = string.find(s, '\n', a + 1, true)
  redis.call('XADD', KEYS[1], '*', 'm', string.sub(s, b + 1), 'h', string.sub(s, a + 1, b - 1))
  redis.call('ZREM', KEYS[2], s)
end
local n = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if not n[2] then return -1 end
return math.max(0, n[2] - t)`)

	// claimScript takes over what is pending for a replica: another one that is
	// dead, which it forgets once nothing is left, or oneself. KEYS stream,
	// alive key of the other; ARGV group, from, to, count, entries to leave.
	// Returns {entry, deliveries, fields} each.
	claimScript = redis.NewScript(`
local from, to, count = ARGV[2], ARGV[3], tonumber(ARGV[4])
if from ~= to and redis.call('EXISTS', KEYS[2]) == 1 then return {} end
local leave = {}
for i = 5, #ARGV do leave[ARGV[i]] = true end
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', count + #ARGV - 4, from)
if #pending == 0 and from ~= to then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], from)
end
local out = {}
for _, p in ipairs(pending) do
  if #out == count then break end
  if not leave[p[1]] then
    local c = redis.call('XCLAIM', KEYS[1], ARGV[1], to, 0, p[1])[1]
    if c then
      out[#out + 1] = {p[1], p[4] + 1, c[2]}
    else
      redis.call('XACK', KEYS[1], ARGV[1], p[1])
    end
  end
end
return out`)

	// leaveScript signs a replica off. KEYS stream, alive; ARGV group, consumer,
	// entries that it was given and didn't handle: they don't count as tried.
	leaveScript = redis.NewScript(`
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 3, #ARGV do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if p[1] then redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', 0, 'JUSTID') end
end
local left = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if #left == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return #left`)

	// statsScript counts everything at one moment. KEYS queues; ARGV prefix,
	// group. Returns {component, queued, in flight, delayed, parked, dead} each.
	statsScript = redis.NewScript(`
local out = {}
for _, c in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local p = redis.pcall('XPENDING', ARGV[1] .. 'q:' .. c, ARGV[2])
  out[#out + 1] = {c, redis.call('XLEN', ARGV[1] .. 'q:' .. c), p.err and 0 or p[1],
    redis.call('ZCARD', ARGV[1] .. 'delayed:' .. c),
    tonumber(redis.call('GET', ARGV[1] .. 'parkedn:' .. c) or 0),
    redis.call('XLEN', ARGV[1] .. 'dead:' .. c)}
end
return out`)

	// gatherScript keeps a part and returns all. ARGV part, value, TTL (ms).
	gatherScript = redis.NewScript(`
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('HGETALL', KEYS[1])`)

	// announceScript and listScript keep the registry: KEYS entries, seen.
	// ARGV field, entry, TTL (ms).
	announceScript = redis.NewScript(prelude + `
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now() + ARGV[3], ARGV[1])
return 1`)
	listScript = redis.NewScript(prelude + `
for _, f in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. string.format('%.0f', now()))) do
  redis.call('HDEL', KEYS[1], f)
  redis.call('ZREM', KEYS[2], f)
end
return redis.call('HVALS', KEYS[1])`)
)
