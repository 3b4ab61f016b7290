#!lua flags=no-writes
-- Journal::commands
if broken then
  return broken
end
return { 'K', state and call('LRANGE', commands, 0, -1) or {} }
