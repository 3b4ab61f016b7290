-- transition::claim. Without allow-oom, and without a flags line: a full Redis refuses the writes and still answers the replays.
-- ARGV: fingerprint, owner, lease ms, ttl ms, what to do where it is unknown (H hold, R resend, P<lease ms> probe) and behind a colon the
-- mailbox, if any; and where there is more to say: note or '', whether it only asks and seals what is absent (S or ''), and is_proof's
-- arguments
do
  -- What is asked for most, before anything else is prepared: a first claim, and the replay of what is done.
  local key, call = KEYS[1], redis.call
  local found = call('HMGET', key, 'v', 's', 'p', 'f', 'a', 'r')
  if not (found[1] or found[2]) then
    if ARGV[7] ~= 'S' then
      local time = call('TIME')
      local fence = time[1] .. string.sub('00000' .. time[2], -6)
      local lease_end = string.format('%d', time[1] * 1000 + time[2] / 1000 + ARGV[3])
      call('HSET', key, 'v', '1', 's', 'O', 'p', ARGV[1], 'o', ARGV[2], 'f', fence, 'a', '1', 'l', lease_end, 'm', ARGV[3],
        'b', lease_end)
      if (ARGV[6] or '') ~= '' then
        call('HSET', key, 'n', ARGV[6])
      end
      call('PEXPIRE', key, ARGV[4])
      return 'F' .. fence .. ' 1'
    end
  elseif found[2] == 'D' and found[1] == '1' and found[3] == ARGV[1] and found[4] and found[5] and found[6] then
    return { string.format('D%s %s %d', found[4], found[5], math.max(call('PTTL', key), 0)), found[6] }
  end
end
