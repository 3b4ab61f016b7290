-- Store::reserve. Without allow-oom: a full Redis takes no new reservation, and still tells who holds one.
-- KEYS[1] is one string, refrain:p:{<64 hexadecimal digits>}: its layout's version, '1', and the holder's name, 32 bytes.
-- ARGV: holder, ttl ms
local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], '1' .. ARGV[1], 'PX', ARGV[2])
  return 'O'
end
if string.sub(held, 1, 1) ~= '1' or #held ~= 33 then
  return { err = 'REFRAIN the reservation is not one of version 1' }
end
return string.sub(held, 2) == ARGV[1] and 'O' or 'T'
