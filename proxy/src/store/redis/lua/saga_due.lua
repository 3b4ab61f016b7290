#!lua flags=no-writes
-- Journal::due, of one partition: the time, when the first one is due that the page does not hold, and ids, each with when it was due.
-- ARGV: limit
local limit = tonumber(ARGV[1])
local found = call('ZRANGEBYSCORE', due, '-inf', int(now), 'WITHSCORES', 'LIMIT', '0', limit + 1)
local later
if #found > 2 * limit then
  later = table.remove(found)
  table.remove(found)
else
  later = call('ZRANGEBYSCORE', due, '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', '0', '1')[2]
end
return { 'K', int(now), later or false, found }
