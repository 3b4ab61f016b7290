#!lua flags=allow-oom
-- transition::complete
-- ARGV: owner, fence, attempt, fingerprint, ttl ms, response
if standing and (owner ~= ARGV[1] or fence ~= ARGV[2]) then
  if standing == 'D' then
    return done('X')
  end
  return 'X'
end
if standing == 'D' then
  return 'A'
end
if standing == 'S' then
  return 'X'
end
mailboxes = standing and call('HGET', key, 'w') or ''
call('HSET', key, 'v', '1', 's', 'D', 'p', ARGV[4], 'o', ARGV[1], 'f', ARGV[2], 'a', ARGV[3], 'r', ARGV[6])
if standing then
  call('HDEL', key, 'l', 'm', 'b', 'w', 'q', 'u')
end
call('PEXPIRE', key, ARGV[5])
wake()
return 'K'
