#!lua flags=no-writes
-- Journal::definition
local kept = redis.call('GET', KEYS[1])
if not kept then
  return '-'
end
if string.sub(kept, 1, 1) ~= '1' then
  return { err = 'REFRAIN the definition is not one of version 1' }
end
return { 'K', string.sub(kept, 2) }
