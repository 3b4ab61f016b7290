-- What every script of the record begins with: the clock, the record, and the door through which waiters are woken.
--
-- KEYS[1] is one hash, refrain:r:{<64 hexadecimal digits>}. Its fields:
--   v  version of this layout, '1'            s  standing: O open, D done, S sealed
--   p  fingerprint, 32 bytes                  o  owner, 16 bytes
--   f  fence                                  a  attempt
--   r  response (D)                           l  lease ends at, ms (O)
--   m  length of the lease, ms (O)            b  the send began by, ms (O)
--   w  mailboxes, 32 hexadecimal digits each (O, if any)
--   q  prober, 16 bytes, and u  its lease ends at, ms (O, if somebody probes)
--
-- Numbers are written with %.0f: Lua's own conversion keeps 14 digits, and times and fences have 13 and 16.
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.call('HMGET', key, 'v', 's', 'p', 'o', 'f', 'a', 'l', 'm', 'b', 'w', 'q', 'u')
local standing, fingerprint, owner, fence = record[2], record[3], record[4], record[5]
local attempt = tonumber(record[6] or '')
local lease_until, lease_ms, sent_by = tonumber(record[7] or ''), tonumber(record[8] or ''), tonumber(record[9] or '')
local mailboxes = record[10] or ''
local prober, probe_until = record[11], tonumber(record[12] or '')
local left = 0

if record[1] or standing then
  if record[1] ~= '1' then
    return { err = 'REFRAIN the record has version ' .. string.format('%q', string.sub(record[1] or 'none', 1, 8)) .. ', not 1' }
  end
  if not (fingerprint and owner and fence and attempt) or #fingerprint ~= 32 or #owner ~= 16
    or not string.find(fence, '^%d+$') then
    return { err = 'REFRAIN the record lacks fields' }
  end
  if standing == 'O' then
    if not (lease_until and lease_ms and sent_by) or #mailboxes % 32 ~= 0 or (prober and not probe_until) then
      return { err = 'REFRAIN the open record lacks fields' }
    end
    -- No lease ends later than now plus its length: the clock may have stepped back.
    left = math.min(math.max(lease_until - now, 0), lease_ms)
  elseif standing ~= 'D' and standing ~= 'S' then
    return { err = 'REFRAIN the record has no standing' }
  end
end

local function int(number)
  return string.format('%.0f', number)
end

-- How long the record is still kept; 0 if somebody took its end away.
local function ttl_left()
  return int(math.max(redis.call('PTTL', key), 0))
end

-- The done record as the caller reads it.
local function done(tag)
  return { tag, redis.call('HGET', key, 'r'), fence, int(attempt), ttl_left() }
end

-- Comes after the last write and cannot fail the script: a lost word is what the waiters' timers are for.
local function wake()
  local name = string.sub(key, 12, 75)
  for i = 1, #mailboxes, 32 do
    redis.pcall('PUBLISH', 'refrain:m:' .. string.sub(mailboxes, i, i + 31), name)
  end
end
