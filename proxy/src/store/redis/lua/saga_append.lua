-- rules::append, where saga_append_first.lua has not answered; its ARGV.
if broken then
  return broken
end
if not is_mine(ARGV[1], ARGV[2]) then
  return 'L'
end
if last_append == ARGV[4] then
  return granted('K')
end
if hold ~= 'D' or int(version) ~= ARGV[3] then
  return 'L'
end
local added = #ARGV - 7
local next_state, next_paused, next_hold, has_answer, is_full, asked_for = string.match(ARGV[5], '^(%u)(%d)(%u)(%d)(%d)(%d+)$')
if is_full == '1' and (next_hold == 'D' or next_hold == 'P') then
  return 'F'
end
local length = call('LLEN', journal)
if length ~= version then
  return { err = 'REFRAIN the saga has ' .. length .. ' entries, and its head says ' .. int(version) }
end

local was_state, was_updated = state, updated
state, paused, version, updated = next_state, next_paused, version + added, now
local taken = has_ended() and #waiting / 16 or math.min(tonumber(asked_for), #waiting / 16)
local mailboxes = ''
if state ~= was_state and (has_ended() or state == 'Q') then
  mailboxes = call('HGET', head, 'w') or ''
  call('HDEL', head, 'w')
end
if added > 0 then
  call('RPUSH', journal, unpack(ARGV, 8))
end
call('HSET', head, 's', state, 'z', paused, 'k', int(version), 'u', int(now), 'e', ARGV[4])
if taken > 0 then
  waiting = string.sub(waiting, taken * 16 + 1)
  call('LTRIM', commands, taken, '-1')
  call('HSET', head, 'q', waiting)
end
-- A quarantined saga that somebody works on keeps its preliminary answer.
if has_answer == '0' and (state ~= 'Q' or next_hold == 'R') then
  call('HDEL', head, 'a', 'g')
end
turn(next_hold, ARGV[6], has_answer == '1', ARGV[7])
call('ZREM', index, by_state(was_state, was_updated, id), by_name(name, was_state, was_updated, id))
write_index()
write_row()
if has_ended() then
  trim(4)
end
wake(mailboxes)
return granted('K')
