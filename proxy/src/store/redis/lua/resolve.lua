#!lua flags=allow-oom
-- transition::resolve
-- ARGV: D (done), ttl ms, response; or N (not done)
if not standing then
  return 'A'
end
if standing ~= 'O' then
  return 'N'
end
local broken = read_open()
if broken then
  return broken
end
if left > 0 then
  return 'N'
end
if ARGV[1] == 'D' then
  call('HSET', key, 's', 'D', 'r', ARGV[3])
  call('HDEL', key, 'l', 'm', 'b', 'w', 'q', 'u', 'n')
  call('PEXPIRE', key, ARGV[2])
else
  call('HSET', key, 'a', '0')
  call('HDEL', key, 'q', 'u', 'w')
end
wake()
return 'K'
