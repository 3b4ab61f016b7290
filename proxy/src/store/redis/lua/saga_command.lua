#!lua flags=allow-oom
-- rules::command. It runs in a full Redis: an operator's word may be what empties it.
-- ARGV: nonce, the most commands that wait, command
if broken then
  return broken
end
if not state then
  return 'A'
end
if has_ended() then
  return 'E'
end
for i = 1, #waiting, 16 do
  if string.sub(waiting, i, i + 15) == ARGV[1] then
    return 'Q'
  end
end
if #waiting / 16 >= tonumber(ARGV[2]) then
  return 'F'
end
waiting = waiting .. ARGV[1]
call('RPUSH', commands, ARGV[3])
call('HSET', head, 'q', waiting)
-- A driver hears of it, or its lease lapses.
if hold == 'R' or (hold == 'P' and at > now) then
  call('HSET', head, 'm', 'P', 'l', int(now))
  call('ZADD', due, int(now), id)
end
return 'Q'
