-- Journal::pin. Without allow-oom: it comes before a create, which a full Redis refuses too.
-- KEYS[1] is one string, refrain:d:<64 hexadecimal digits>: its layout's version, '1', and the definition. It never expires.
-- ARGV: definition
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], '1' .. ARGV[1])
end
return 'K'
