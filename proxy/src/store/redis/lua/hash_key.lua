#!lua flags=allow-oom
-- Store::hash_key. The first one stays: what is there is answered, else the candidate is kept, for ever. Runs in a full Redis too: it is
-- 33 bytes, and a process that reconnects must be able to put its key back into a Redis that lost it, before another key is made.
-- KEYS[1] is one string, refrain:hash-key: its version, 1, and 32 bytes.
-- ARGV: candidate
local kept = redis.call('GET', KEYS[1])
if not kept then
  redis.call('SET', KEYS[1], '1' .. ARGV[1])
  return ARGV[1]
end
if string.sub(kept, 1, 1) ~= '1' or #kept ~= 33 then
  return { err = 'REFRAIN the key of record names is not one of version 1' }
end
return string.sub(kept, 2)
