#!lua flags=allow-oom
-- transition::release
-- ARGV: owner, fence or ''
if standing ~= 'O' then
  return 'L'
end
if owner == ARGV[1] and (ARGV[2] == '' or fence == ARGV[2]) then
  if attempt <= 1 then
    redis.call('DEL', key)
  else
    redis.call('HSET', key, 'l', int(math.min(lease_until, now)))
    redis.call('HDEL', key, 'w')
  end
  wake()
  return 'K'
end
-- A prober whose claim's answer was lost: the record is not its own, the probe lease is.
if ARGV[2] == '' and prober == ARGV[1] then
  redis.call('HDEL', key, 'q', 'u', 'w')
  wake()
  return 'K'
end
return 'L'
