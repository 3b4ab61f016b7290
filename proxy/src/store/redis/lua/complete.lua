-- transition::complete, where complete_first.lua has not answered; its ARGV.
if standing and (owner ~= ARGV[1] or fence ~= ARGV[2]) then
  if standing == 'D' then
    return done('X')
  end
  return 'X'
end
if standing == 'D' then
  if response == ARGV[6] then
    return 'A'
  end
  -- A probe or an operator settled it first: its caller gets what every replay gives.
  return done('X')
end
if standing == 'S' then
  return 'X'
end
mailboxes = standing and call('HGET', key, 'w') or ''
call('HSET', key, 'v', '1', 's', 'D', 'p', ARGV[4], 'o', ARGV[1], 'f', ARGV[2], 'a', ARGV[3], 'r', ARGV[6])
if standing then
  call('HDEL', key, 'l', 'm', 'b', 'w', 'q', 'u', 'n')
end
call('PEXPIRE', key, ARGV[5])
wake()
return 'K'
