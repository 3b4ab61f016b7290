#!lua flags=allow-oom
-- transition::doubt
-- ARGV: owner, fence
if standing ~= 'O' or owner ~= ARGV[1] or fence ~= ARGV[2] then
  return 'L'
end
redis.call('HSET', key, 'l', int(math.min(lease_until, now)), 'b', int(math.min(sent_by, now)))
redis.call('HDEL', key, 'w')
wake()
return 'K'
