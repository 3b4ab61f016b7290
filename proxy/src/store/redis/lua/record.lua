-- What every script of the record begins with: the record, and, once a script asks for it, the clock and what is only there while the
-- record is open. A replay asks for neither.
--
-- KEYS[1] is one hash, refrain:r:{<16 hexadecimal digits>}<48 more>: its name. What shares the first digits is in one slot of a
-- cluster. Its fields:
--   v  version of this layout, '1'            s  standing: O open, D done, S sealed
--   p  fingerprint, 32 bytes                  o  owner, 16 bytes
--   f  fence                                  a  attempt
--   r  response (D)                           l  lease ends at, ms (O)
--   m  length of the lease, ms (O)            b  the send began by, ms (O)
--   w  mailboxes, 32 hexadecimal digits each (O, if any)
--   q  prober, 16 bytes, and u  its lease ends at, ms (O, if somebody probes)
--   n  a note for probers (O, if there is one)
--
-- Numbers are written with %d, which access.lua tries: Lua's own conversion keeps 14 digits, and fences have 16.
local key, call = KEYS[1], redis.call
local record = call('HMGET', key, 'v', 's', 'p', 'o', 'f', 'a', 'r')
local standing, fingerprint, owner, fence, response = record[2], record[3], record[4], record[5], record[7]
local attempt = tonumber(record[6] or '')

if record[1] or standing then
  if record[1] ~= '1' then
    return { err = 'REFRAIN the record has version ' .. string.format('%q', string.sub(record[1] or 'none', 1, 8)) .. ', not 1' }
  end
  if not (fingerprint and owner and fence and attempt) or #fingerprint ~= 32 or #owner ~= 16
    or not string.find(fence, '^%d+$') then
    return { err = 'REFRAIN the record lacks fields' }
  end
  if standing ~= 'O' and standing ~= 'D' and standing ~= 'S' then
    return { err = 'REFRAIN the record has no standing' }
  end
end

local now, now_us, left, lease_until, lease_ms, sent_by, mailboxes, prober, probe_until

local function int(number)
  return string.format('%d', number)
end

local function read_clock()
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  now_us = time[1] * 1000000 + time[2]
end

-- Reads the clock and the rest of an open record; an error to return, if it cannot be read.
local function read_open()
  read_clock()
  local open = call('HMGET', key, 'l', 'm', 'b', 'w', 'q', 'u')
  lease_until, lease_ms, sent_by = tonumber(open[1] or ''), tonumber(open[2] or ''), tonumber(open[3] or '')
  mailboxes, prober, probe_until = open[4] or '', open[5], tonumber(open[6] or '')
  if not (lease_until and lease_ms and sent_by) or #mailboxes % 32 ~= 0 or (prober and not probe_until) then
    return { err = 'REFRAIN the open record lacks fields' }
  end
  -- No lease ends later than now plus its length: the clock may have stepped back.
  left = math.min(math.max(lease_until - now, 0), lease_ms)
end

-- The fence of whoever takes over; an error to return, if there is none.
local function next_fence()
  local last = tonumber(fence)
  if last >= 9007199254740991 then
    return nil, { err = 'REFRAIN the fence has no successor' }
  end
  return int(math.max(now_us, last + 1))
end

-- How long the record is still kept; 0 if somebody took its end away.
local function ttl_left()
  return math.max(call('PTTL', key), 0)
end

-- The done record as the caller reads it.
local function done(tag)
  return { string.format('%s%s %d %d', tag, fence, attempt, ttl_left()), response }
end

-- Sends word of the record `of`. Comes after the last write and cannot fail the script: a lost word is what the waiters' timers are for.
local function tell(waiting, of)
  local name = string.sub(of, 12, 27) .. string.sub(of, 29, 76)
  for i = 1, #waiting, 32 do
    redis.pcall('PUBLISH', 'refrain:m:' .. string.sub(waiting, i, i + 31), name)
  end
end

local function wake()
  tell(mailboxes, key)
end

-- Forbids the record `of`, which exists, for `ttl` ms at least. Attempt '0': nothing was done.
local function forbid(of, sealed_attempt, ttl)
  call('HSET', of, 's', 'S', 'a', sealed_attempt)
  call('HDEL', of, 'l', 'm', 'b', 'w', 'q', 'u', 'n')
  call('PEXPIRE', of, ttl, 'GT')
end

-- Forbids the record `of`, which does not exist.
local function forbid_absent(of, by, sealed_attempt, ttl)
  call('HSET', of, 'v', '1', 's', 'S', 'p', string.rep('\0', 32), 'o', by, 'f', int(now_us), 'a', sealed_attempt)
  call('PEXPIRE', of, ttl)
end

-- Absence::is_proof: whether that there is no record shows that none was lost. It is, if so, until `limit` (ms, or '': for ever), and
-- while Redis is still the run that was asked how long it remembers.
local function is_proof(claimed, limit, earliest, run_id)
  if claimed ~= '1' or limit == '' then
    return claimed == '1'
  end
  if now >= tonumber(limit) or now < tonumber(earliest) then
    return false
  end
  local info = call('INFO', 'server')
  return string.find(info, 'run_id:' .. run_id, 1, true) ~= nil
end
