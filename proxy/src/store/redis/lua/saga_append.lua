#!lua flags=allow-oom
-- rules::append
-- ARGV: owner, fence, expected version, nonce, state, paused (1 or 0), commands taken, what comes next (D, P, R, E), in ms, whether there
-- is an answer (1 or 0), answer, the most entries of a journal, entries
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
local added, next_hold = #ARGV - 12, ARGV[8]
if version + added > tonumber(ARGV[12]) and (next_hold == 'D' or next_hold == 'P') then
  return 'F'
end
local length = call('LLEN', journal)
if length ~= version then
  return { err = 'REFRAIN the saga has ' .. length .. ' entries, and its head says ' .. int(version) }
end

local was_state, was_updated = state, updated
state, paused, version, updated = ARGV[5], ARGV[6], version + added, now
local taken = has_ended() and #waiting / 16 or math.min(tonumber(ARGV[7]), #waiting / 16)
local mailboxes = ''
if state ~= was_state and (has_ended() or state == 'Q') then
  mailboxes = call('HGET', head, 'w') or ''
  call('HDEL', head, 'w')
end
if added > 0 then
  call('RPUSH', journal, unpack(ARGV, 13))
end
call('HSET', head, 's', state, 'z', paused, 'k', int(version), 'u', int(now), 'e', ARGV[4])
if taken > 0 then
  waiting = string.sub(waiting, taken * 16 + 1)
  call('LTRIM', commands, taken, '-1')
  call('HSET', head, 'q', waiting)
end
-- A quarantined saga that somebody works on keeps its preliminary answer.
if ARGV[10] == '0' and (state ~= 'Q' or next_hold == 'R') then
  call('HDEL', head, 'a', 'g')
end
turn(next_hold, ARGV[9], ARGV[10] == '1', ARGV[11])
call('ZREM', index, by_state(was_state, was_updated, id), by_name(name, was_state, was_updated, id))
write_index()
write_row()
if has_ended() then
  trim(4)
end
wake(mailboxes)
return granted('K')
