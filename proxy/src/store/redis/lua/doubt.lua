#!lua flags=allow-oom
-- transition::doubt
-- ARGV: owner, fence
if standing ~= 'O' or owner ~= ARGV[1] or fence ~= ARGV[2] then
  return 'L'
end
local broken = read_open()
if broken then
  return broken
end
call('HSET', key, 'l', int(math.min(lease_until, now)), 'b', int(math.min(sent_by, now)))
call('HDEL', key, 'w')
wake()
return 'K'
