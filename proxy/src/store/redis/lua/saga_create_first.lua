-- rules::create. Without allow-oom, and without a flags line: a full Redis refuses the first write and still tells what is there.
-- ARGV: fingerprint, name, the rest of the birth, owner, three letters (state, what comes next D, P, R or E, whether there is an answer
-- 1 or 0), what comes next in ms, answer, mailbox or '', entries
do
  -- What is asked for most, before anything else is prepared: a saga of which there has never been anything and which its creator
  -- drives, where no other one is to be trimmed; and what has ended.
  local index, rows, head, journal, call = KEYS[2], KEYS[3], KEYS[4], KEYS[5], redis.call
  local id, hold = string.sub(head, -32), call('HGET', head, 'm')
  if hold == 'E' then
    local found = call('HMGET', head, 's', 'z', 'k', 'f', 'u', 'd', 'n', 'c', 'p', 'b', 'a', 'g', 'v', 'o', 'l')
    local time = call('TIME')
    if (found[1] == 'D' or found[1] == 'U') and found[9] == ARGV[1] and found[7] == ARGV[2] and found[13] == '1'
      and found[14] ~= ARGV[4] and tonumber(found[15]) > time[1] * 1000 + time[2] / 1000 then
      found[13], found[14], found[15] = nil, nil, nil
      return { 'E', found }
    end
  elseif not hold and ARGV[5] == 'RD0' and #ARGV > 8 and call('EXISTS', head, journal, KEYS[6]) == 0
    and not call('HGET', rows, id) then
    local time, format = call('TIME'), string.format
    local micros = string.sub('00000' .. time[2], -6)
    local now, fence = time[1] .. string.sub(micros, 1, 3), time[1] .. micros
    local sorted = string.sub('000000000000000' .. now, -15)
    if not call('ZRANGEBYLEX', index, '[ED', '[ED' .. sorted .. '\255', 'LIMIT', '0', '1')[1] then
      local version, at, is_at, name = format('%d', #ARGV - 8), format('%d', now + ARGV[6]), sorted .. id, ARGV[2]
      -- The first write of all: Redis refuses this one, or none.
      call('HSET', head, 'v', '1', 's', 'R', 'z', '0', 'k', version, 'o', ARGV[4], 'f', fence, 'u', now, 'c', now, 'n', name,
        'p', ARGV[1], 'b', ARGV[3], 'm', 'D', 'l', at, 'd', ARGV[6])
      call('RPUSH', journal, unpack(ARGV, 9))
      call('ZADD', KEYS[1], at, id)
      call('ZADD', index, '0', 'SR' .. is_at, '0', format('N%08x%sR', #name, name) .. is_at)
      call('HSET', rows, id, '1 R 0 ' .. version .. ' ' .. fence .. ' ' .. now .. ' 0 ' .. name, 'b' .. id, now .. ARGV[1] .. ARGV[3])
      return 'F' .. fence .. ' ' .. version .. ' ' .. now .. ' 0'
    end
  end
end
