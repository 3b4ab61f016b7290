-- rules::create. Without allow-oom, and without a flags line: a full Redis refuses the first write and still tells what is there.
-- ARGV: fingerprint, name, the rest of the birth, owner, state, what comes next (D, P, R, E), in ms, whether there is an answer (1 or 0),
-- answer, mailbox or '', entries
if broken then
  return broken
end
if state then
  if name ~= ARGV[2] or call('HGET', head, 'p') ~= ARGV[1] then
    return 'M'
  end
  if owner == ARGV[4] then
    return granted('F')
  end
  if has_ended() then
    return { 'E', told() }
  end
  return register(ARGV[10]) or { 'R', told() }
end

fence = int(math.max(now_us, outlived and tonumber(fence) + 1 or 0))
state, paused, version, owner, name, updated, waiting = ARGV[5], '0', #ARGV - 10, ARGV[4], ARGV[2], now, ''
-- The first write of all: Redis refuses this one, or none.
call('HSET', head, 'v', '1', 's', state, 'z', '0', 'k', int(version), 'o', owner, 'f', fence, 'u', int(now), 'c', int(now), 'n', name,
  'p', ARGV[1], 'b', ARGV[3])
if outlived then
  call('PERSIST', head)
  call('HDEL', head, 'a', 'g', 'e', 'w', 'q')
end
-- What an earlier saga of this id has left.
call('DEL', journal, commands)
drop(id)
if version > 0 then
  call('RPUSH', journal, unpack(ARGV, 11))
end
turn(ARGV[6], ARGV[7], ARGV[8] == '1', ARGV[9])
write_index()
write_row()
call('HSET', rows, 'b' .. id, int(now) .. ARGV[1] .. ARGV[3])
trim(4)
return granted('F')
