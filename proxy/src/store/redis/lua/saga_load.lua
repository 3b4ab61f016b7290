#!lua flags=no-writes
-- Journal::load
if broken then
  return broken
end
if not state then
  return '-'
end
local entries, asked, wrong = read_lists()
return wrong or { 'K', int(now), told(), entries, asked }
