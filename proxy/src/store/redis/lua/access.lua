#!lua flags=allow-oom
-- Asks, before any record is touched, whether this user may do all that the scripts do: a script that is stopped half-way would have
-- written half. Answers with the first command that is refused, and why; or 'K'.
-- KEYS[1] is a scratch key, and ARGV[1] the channel of this process.
local function try(...)
  local reply = redis.pcall(...)
  return type(reply) == 'table' and reply.err and { (...), reply.err } or nil
end
-- Times and fences are written with %d.
if string.format('%d', 9007199254740991) ~= '9007199254740991' then
  return { 'string.format', 'ERR it is not built for 64 bits' }
end
local key = KEYS[1]
local refusal = try('SET', key, '1', 'PX', '10000') or try('GET', key) or try('DEL', key)
  or try('HSET', key, 'v', '1') or try('PEXPIRE', key, '10000') or try('INFO', 'server') or try('HGET', key, 'v') or try('HMGET', key, 'v', 's')
  or try('HDEL', key, 's') or try('PTTL', key) or try('TIME') or try('PUBLISH', ARGV[1], '')
  or try('PEXPIREAT', key, '9999999999999') or try('PERSIST', key) or try('EXISTS', key) or try('DEL', key)
  or try('RPUSH', key, '1') or try('PEXPIRE', key, '10000') or try('LLEN', key) or try('LRANGE', key, '0', '0')
  or try('LTRIM', key, '0', '0') or try('DEL', key)
  or try('ZADD', key, '0', '1') or try('PEXPIRE', key, '10000') or try('ZSCORE', key, '1') or try('ZLEXCOUNT', key, '-', '+')
  or try('ZRANGEBYSCORE', key, '0', '0') or try('ZRANGEBYLEX', key, '-', '+') or try('ZREVRANGEBYLEX', key, '+', '-')
  or try('ZREM', key, '1')
try('DEL', key)
return refusal or 'K'
