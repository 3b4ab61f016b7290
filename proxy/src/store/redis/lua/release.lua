#!lua flags=allow-oom
-- transition::release
-- ARGV: owner, fence or ''
if standing ~= 'O' then
  return 'L'
end
local broken = read_open()
if broken then
  return broken
end
if owner == ARGV[1] and (ARGV[2] == '' or fence == ARGV[2]) then
  if attempt <= 1 then
    call('DEL', key)
  else
    call('HSET', key, 'l', int(math.min(lease_until, now)))
    call('HDEL', key, 'w')
  end
  wake()
  return 'K'
end
-- A prober whose claim's answer was lost: the record is not its own, the probe lease is.
if ARGV[2] == '' and prober == ARGV[1] then
  call('HDEL', key, 'q', 'u', 'w')
  wake()
  return 'K'
end
return 'L'
