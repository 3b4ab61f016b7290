#!lua flags=allow-oom
-- transition::settle
-- ARGV: prober, fence, verdict, and for D (done): ttl ms, response; for N (not done): lease ms, ttl ms; for S (not done, and
-- never to be): ttl ms; for U: nothing
if standing == 'D' then
  return done('D')
end
if standing == 'S' and attempt == 0 then
  return 'S'
end
if standing ~= 'O' then
  return 'L'
end
local broken = read_open()
if broken then
  return broken
end
if prober ~= ARGV[1] or fence ~= ARGV[2] or left > 0 then
  return 'L'
end
if ARGV[3] == 'D' then
  call('HSET', key, 's', 'D', 'r', ARGV[5])
  call('HDEL', key, 'l', 'm', 'b', 'w', 'q', 'u', 'n')
  call('PEXPIRE', key, ARGV[4])
  wake()
  return { 'W', fence, int(attempt), ARGV[4] }
end
if ARGV[3] == 'N' then
  local taken_fence, none = next_fence()
  if none then
    return none
  end
  local lease_end = int(now + ARGV[4])
  call('HSET', key, 'o', prober, 'f', taken_fence, 'a', '1', 'l', lease_end, 'm', ARGV[4], 'b', lease_end)
  call('HDEL', key, 'q', 'u')
  call('PEXPIRE', key, ARGV[5])
  return { 'T', taken_fence, '1' }
end
if ARGV[3] == 'S' then
  forbid(key, '0', ARGV[4])
  wake()
  return 'S'
end
call('HDEL', key, 'q', 'u', 'w')
wake()
return 'U'
