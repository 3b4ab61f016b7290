#!lua flags=allow-oom
-- transition::forget. It does not read the record as the others do: this is the way out of a record that cannot be read.
local key = KEYS[1]
local mailboxes = redis.pcall('HGET', key, 'w')
if redis.call('DEL', key) == 0 then
  return '0'
end
if type(mailboxes) == 'string' then
  local name = string.sub(key, 12, 27) .. string.sub(key, 29, 76)
  for i = 1, math.min(#mailboxes, 64 * 32), 32 do
    redis.pcall('PUBLISH', 'refrain:m:' .. string.sub(mailboxes, i, i + 31), name)
  end
end
return '1'
