#!lua flags=allow-oom
-- rules::append
-- ARGV: owner, fence, expected version, nonce, five letters (state, paused 1 or 0, what comes next D, P, R or E, whether there is an answer
-- 1 or 0, whether the journal would have too many entries 1 or 0) and how many commands are taken, what comes next in ms, answer, entries
do
  -- What happens most, before anything else is prepared: its driver goes on with it, parks or ends it, and nobody asks for anything.
  local head, journal, call = KEYS[4], KEYS[5], redis.call
  local found = call('HMGET', head, 'v', 's', 'o', 'f', 'k', 'e', 'm', 'u', 'n', 'q', 'w')
  local was_state, was_updated, name, added = found[2], found[8], found[9], #ARGV - 7
  local state, paused, next_hold, has_answer, is_full = string.match(ARGV[5], '^(%u)(%d)(%u)(%d)(%d)')
  local ends = next_hold == 'E'
  if found[3] == ARGV[1] and found[4] == ARGV[2] and found[5] == ARGV[3] and found[6] ~= ARGV[4] and found[7] == 'D'
    and found[1] == '1' and (was_state == 'R' or was_state == 'C') and was_updated and name and (found[10] or '') == ''
    and added > 0 and is_full == '0'
    and (ends and (state == 'D' or state == 'U') and has_answer == '1' and not found[11]
      or (next_hold == 'D' or next_hold == 'P') and (state == 'R' or state == 'C') and has_answer == '0') then
    local format, id = string.format, string.sub(head, -32)
    local time = call('TIME')
    local now = time[1] .. string.sub('00000' .. time[2], -6, -4)
    local length = call('RPUSH', journal, unpack(ARGV, 8))
    local version = format('%d', ARGV[3] + added)
    if length ~= ARGV[3] + added then
      if length == added then
        call('DEL', journal)
      else
        call('LTRIM', journal, '0', length - added - 1)
      end
      return { err = 'REFRAIN the saga has ' .. length - added .. ' entries, and its head says ' .. ARGV[3] }
    end
    local at = format('%d', now + (ends and math.max(tonumber(ARGV[6]), 1) or ARGV[6]))
    local by_name = format('N%08x%s', #name, name)
    local was_at, is_at = string.sub('000000000000000' .. was_updated, -15) .. id, string.sub('000000000000000' .. now, -15) .. id
    if next_hold == 'D' then
      call('HSET', head, 's', state, 'z', paused, 'k', version, 'u', now, 'e', ARGV[4], 'l', at, 'd', ARGV[6])
    else
      call('HSET', head, 's', state, 'z', paused, 'k', version, 'u', now, 'e', ARGV[4], 'm', next_hold, 'l', at,
        unpack(ends and { 'a', ARGV[7], 'g', ARGV[2] } or {}))
      call('HDEL', head, 'd')
    end
    call('ZREM', KEYS[2], 'S' .. was_state .. was_at, by_name .. was_state .. was_at)
    if ends then
      call('ZREM', KEYS[1], id)
      call('PEXPIREAT', head, at)
      call('PEXPIREAT', journal, at)
      call('ZADD', KEYS[2], '0', 'S' .. state .. is_at, '0', by_name .. state .. is_at,
        '0', 'E' .. state .. string.sub('000000000000000' .. at, -15) .. id)
    else
      call('ZADD', KEYS[1], at, id)
      call('ZADD', KEYS[2], '0', 'S' .. state .. is_at, '0', by_name .. state .. is_at)
    end
    call('HSET', KEYS[3], id, '1 ' .. state .. ' ' .. paused .. ' ' .. version .. ' ' .. ARGV[2] .. ' ' .. now .. ' '
      .. (ends and at or '0') .. ' ' .. name)
    return 'K' .. ARGV[2] .. ' ' .. version .. ' ' .. now .. ' 0'
  end
end
