#!lua flags=allow-oom
-- transition::complete
-- ARGV: owner, fence, attempt, fingerprint, ttl ms, response
do
  -- What happens most, before anything else is prepared: the owner is done, and nobody waits.
  local key, call = KEYS[1], redis.call
  local found = call('HMGET', key, 'v', 's', 'o', 'f', 'w')
  if found[2] == 'O' and found[3] == ARGV[1] and found[4] == ARGV[2] and found[1] == '1' and not found[5] then
    call('HSET', key, 's', 'D', 'p', ARGV[4], 'a', ARGV[3], 'r', ARGV[6])
    call('HDEL', key, 'l', 'm', 'b', 'q', 'u', 'n')
    call('PEXPIRE', key, ARGV[5])
    return 'K'
  end
end
