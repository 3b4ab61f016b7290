#!lua flags=allow-oom
-- Store::unreserve
-- ARGV: holder
if redis.call('GET', KEYS[1]) == '1' .. ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 'K'
