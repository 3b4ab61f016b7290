-- rules::create, where saga_create_first.lua has not answered; its ARGV.
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
  return register(ARGV[8]) or { 'R', told() }
end

local first_state, next_hold, has_answer = string.match(ARGV[5], '^(%u)(%u)(%d)$')
fence = int(math.max(now_us, outlived and tonumber(fence) + 1 or 0))
state, paused, version, owner, name, updated, waiting = first_state, '0', #ARGV - 8, ARGV[4], ARGV[2], now, ''
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
  call('RPUSH', journal, unpack(ARGV, 9))
end
turn(next_hold, ARGV[6], has_answer == '1', ARGV[7])
write_index()
write_row()
call('HSET', rows, 'b' .. id, int(now) .. ARGV[1] .. ARGV[3])
trim(4)
return granted('F')
