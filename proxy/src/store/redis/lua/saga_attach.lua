#!lua flags=allow-oom
-- rules::attach
-- ARGV: mailbox or ''
if broken then
  return broken
end
if not state then
  return '-'
end
return register(ARGV[1]) or { 'H', int(now), told() }
