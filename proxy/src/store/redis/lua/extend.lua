#!lua flags=allow-oom
-- transition::extend, for one lease
-- ARGV: owner, fence, lease ms, whether the send has begun (1 or 0)
if standing ~= 'O' or owner ~= ARGV[1] or fence ~= ARGV[2] or attempt == 0 then
  return 'L'
end
read_clock()
local lease_end = int(now + ARGV[3])
if ARGV[4] == '1' then
  call('HSET', key, 'l', lease_end, 'm', ARGV[3])
else
  call('HSET', key, 'l', lease_end, 'm', ARGV[3], 'b', lease_end)
end
return 'K'
