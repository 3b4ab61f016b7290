#!lua flags=allow-oom
-- rules::lease. A saga that cannot be read is put off, so that it does not stand for ever before all others that are due.
-- ARGV: owner, lease ms, how long to put off what cannot be read, ms
local function put_off(why)
  call('ZADD', due, 'XX', int(now + ARGV[3]), id)
  return why
end

if broken then
  return put_off(broken)
end
if not state then
  -- A careless hand took its head away, perhaps.
  call('ZREM', due, id)
  drop(id)
  return 'G'
end
if hold == 'E' then
  return 'G'
end
local mine = hold == 'D' and owner == ARGV[1]
if not mine and hold == 'D' and at > now + lease_ms then
  -- No lease ends later than now plus its length: the clock has stepped back.
  at = now + lease_ms
  call('HSET', head, 'l', int(at))
  call('ZADD', due, int(at), id)
end
if not mine and (hold == 'R' or at > now) then
  return hold == 'R' and 'N' or { 'N', int(at - now) }
end
local entries, asked, wrong = read_lists()
if wrong then
  return put_off(wrong)
end
if not mine then
  if tonumber(fence) >= 9007199254740991 then
    return put_off({ err = 'REFRAIN the fence has no successor' })
  end
  owner, fence = ARGV[1], int(math.max(now_us, tonumber(fence) + 1))
  call('HSET', head, 'o', owner, 'f', fence)
  call('HDEL', head, 'e')
  write_row()
end
drive(ARGV[2])
return { 'K', int(now), told(), entries, asked }
