#!lua flags=no-writes
-- transition::inspect
if not standing then
  return '-'
end
if standing == 'D' then
  return done('D')
end
if standing == 'S' then
  return { 'S', fence, int(attempt), ttl_left() }
end
local broken = read_open()
if broken then
  return broken
end
if left > 0 then
  return { 'I', fence, int(attempt), ttl_left(), int(left) }
end
return { 'U', fence, int(attempt), ttl_left() }
