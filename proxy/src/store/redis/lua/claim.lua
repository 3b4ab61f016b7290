-- transition::claim. Without allow-oom, and without a flags line: a full Redis refuses the writes and still answers the replays.
-- ARGV: fingerprint, owner, lease ms, ttl ms, mailbox or '', on unknown (H hold, R resend, P probe), probe lease ms
local mine, mailbox, on_unknown = ARGV[2], ARGV[5], ARGV[6]

local function now_us()
  return time[1] * 1000000 + time[2]
end

local function begin(next_fence, next_attempt)
  local lease_end = int(now + ARGV[3])
  redis.call('HSET', key, 'v', '1', 's', 'O', 'p', ARGV[1], 'o', mine, 'f', next_fence, 'a', next_attempt,
    'l', lease_end, 'm', ARGV[3], 'b', lease_end)
  if prober then
    redis.call('HDEL', key, 'q', 'u')
  end
end

-- Adds the mailbox to what is to be written: at most 64, each once.
local function register(fields)
  if mailbox == '' or #mailboxes >= 64 * 32 then
    return
  end
  for i = 1, #mailboxes, 32 do
    if string.sub(mailboxes, i, i + 31) == mailbox then
      return
    end
  end
  fields[#fields + 1] = 'w'
  fields[#fields + 1] = mailboxes .. mailbox
end

-- Writes what a waiter leaves behind. Where it does not fit into a full Redis, no word is sent and the waiter's timer finds out;
-- any other refusal is returned.
local function remember(fields)
  if #fields == 0 then
    return nil
  end
  local reply = redis.pcall('HSET', key, unpack(fields))
  if type(reply) == 'table' and reply.err and not string.find(reply.err, '^%-?OOM') then
    return reply
  end
  return nil
end

if not standing then
  local first = int(now_us())
  begin(first, '1')
  redis.call('PEXPIRE', key, ARGV[4])
  return { 'F', first, '1' }
end
if standing == 'S' then
  return 'S'
end
if fingerprint ~= ARGV[1] then
  return 'M'
end
if standing == 'D' then
  return done('D')
end
if owner == mine then
  begin(fence, int(attempt))
  return { 'F', fence, int(attempt) }
end
if left > 0 then
  local fields = {}
  if lease_until > now + lease_ms then
    fields = { 'l', int(now + lease_ms) }
  end
  register(fields)
  return remember(fields) or { 'I', int(left) }
end

-- Nobody knows whether the upstream acted.
local probing = prober and probe_until > now and prober ~= mine
if attempt == 0 or on_unknown == 'R' then
  local last = tonumber(fence)
  if last >= 9007199254740991 then
    return { err = 'REFRAIN the fence has no successor' }
  end
  local taken_fence = int(math.max(now_us(), last + 1))
  local taken_attempt = int(math.min(attempt + 1, 4294967295))
  begin(taken_fence, taken_attempt)
  redis.call('PEXPIRE', key, ARGV[4])
  return { 'T', taken_fence, taken_attempt }
end
if on_unknown == 'P' and not probing then
  redis.call('HSET', key, 'q', mine, 'u', int(now + ARGV[7]))
  return { 'P', fence, int(attempt), int(math.max(now - sent_by, 0)) }
end
local fields = {}
register(fields)
return remember(fields) or { 'U', probing and '1' or '0' }
