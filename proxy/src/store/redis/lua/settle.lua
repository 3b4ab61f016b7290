#!lua flags=allow-oom
-- transition::settle
-- ARGV: prober, fence, verdict, and for D (done): ttl ms, response; for N (not done): lease ms, ttl ms; for U: nothing
if standing == 'D' then
  return done('D')
end
if standing ~= 'O' or prober ~= ARGV[1] or fence ~= ARGV[2] or left > 0 then
  return 'L'
end
if ARGV[3] == 'D' then
  redis.call('HSET', key, 's', 'D', 'r', ARGV[5])
  redis.call('HDEL', key, 'l', 'm', 'b', 'w', 'q', 'u')
  redis.call('PEXPIRE', key, ARGV[4])
  wake()
  return { 'W', fence, int(attempt), ARGV[4] }
end
if ARGV[3] == 'N' then
  local last = tonumber(fence)
  if last >= 9007199254740991 then
    return { err = 'REFRAIN the fence has no successor' }
  end
  local taken_fence = int(math.max(time[1] * 1000000 + time[2], last + 1))
  local lease_end = int(now + ARGV[4])
  redis.call('HSET', key, 'o', prober, 'f', taken_fence, 'a', '1', 'l', lease_end, 'm', ARGV[4], 'b', lease_end)
  redis.call('HDEL', key, 'q', 'u')
  redis.call('PEXPIRE', key, ARGV[5])
  return { 'T', taken_fence, '1' }
end
redis.call('HDEL', key, 'q', 'u', 'w')
wake()
return 'U'
