#!lua flags=allow-oom
-- Into how many partitions the sagas are divided: the first answer stays, for ever. Runs in a full Redis too, as hash_key does.
-- KEYS[1] is one string, refrain:partitions: its layout's version, '1', a space, and the number.
-- ARGV: candidate
local kept = redis.call('GET', KEYS[1])
if not kept then
  redis.call('SET', KEYS[1], '1 ' .. ARGV[1])
  return ARGV[1]
end
local number = string.match(kept, '^1 (%d+)$')
return number or { err = 'REFRAIN the number of partitions is not one of version 1' }
