#!lua flags=allow-oom
-- Journal::count, of one partition: running, compensating, completed, compensated, quarantined.
trim(100)
local counts = { 'K' }
for i, letter in ipairs({ 'R', 'C', 'D', 'U', 'Q' }) do
  local all = call('ZLEXCOUNT', index, '[S' .. letter, '[S' .. letter .. '\255')
  local gone = call('ZLEXCOUNT', index, '[E' .. letter, '[E' .. letter .. digits(now) .. '\255')
  counts[i + 1] = int(all - gone)
end
return counts
