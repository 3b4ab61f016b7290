#!lua flags=allow-oom
-- transition::resolve
-- ARGV: D (done), ttl ms, response; or N (not done)
if not standing then
  return 'A'
end
if standing ~= 'O' or left > 0 then
  return 'N'
end
if ARGV[1] == 'D' then
  redis.call('HSET', key, 's', 'D', 'r', ARGV[3])
  redis.call('HDEL', key, 'l', 'm', 'b', 'w', 'q', 'u')
  redis.call('PEXPIRE', key, ARGV[2])
else
  redis.call('HSET', key, 'a', '0')
  redis.call('HDEL', key, 'q', 'u', 'w')
end
wake()
return 'K'
