#!lua flags=no-writes
-- transition::inspect
if not standing then
  return '-'
end
if standing == 'D' then
  return done('D')
end
if standing == 'O' and left > 0 then
  return { 'I', fence, int(attempt), ttl_left(), int(left) }
end
return { standing == 'S' and 'S' or 'U', fence, int(attempt), ttl_left() }
