#!lua flags=allow-oom
-- rules::extend, for one lease
-- ARGV: owner, fence, lease ms
if broken then
  return broken
end
if not is_mine(ARGV[1], ARGV[2]) or hold ~= 'D' then
  return 'L'
end
drive(ARGV[3])
return { 'K', waiting ~= '' and '1' or '0' }
