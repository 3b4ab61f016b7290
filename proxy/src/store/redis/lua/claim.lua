-- transition::claim, where claim_first.lua has not answered; its ARGV.
local only_asks = ARGV[7] == 'S'
if standing == 'S' then
  -- Who asks what became of it is not told that nothing did.
  if only_asks and attempt > 0 then
    return 'U0'
  end
  return 'S'
end
if standing and fingerprint ~= ARGV[1] then
  return 'M'
end
if standing == 'D' then
  return done('D')
end

local mine, note = ARGV[2], ARGV[6] or ''
local on_unknown, probe_lease, mailbox = string.match(ARGV[5], '^(%u)(%d*):(%x*)$')

local function begin(fence_of_mine, attempt_of_mine)
  local lease_end = int(now + ARGV[3])
  call('HSET', key, 'v', '1', 's', 'O', 'p', ARGV[1], 'o', mine, 'f', fence_of_mine, 'a', attempt_of_mine,
    'l', lease_end, 'm', ARGV[3], 'b', lease_end)
  if note ~= '' then
    call('HSET', key, 'n', note)
  elseif standing then
    call('HDEL', key, 'n')
  end
end

if not standing then
  read_clock()
  if only_asks then
    local proven = is_proof(ARGV[8], ARGV[9], ARGV[10], ARGV[11])
    forbid_absent(key, mine, proven and '0' or '1', ARGV[4])
    return proven and 'S' or 'U0'
  end
  local first = int(now_us)
  begin(first, '1')
  call('PEXPIRE', key, ARGV[4])
  return 'F' .. first .. ' 1'
end

local broken = read_open()
if broken then
  return broken
end

-- Attempt 0: an operator has disproved this owner's send, and its claim with it.
if owner == mine and attempt > 0 then
  begin(fence, int(attempt))
  call('HDEL', key, 'q', 'u')
  return 'F' .. fence .. ' ' .. int(attempt)
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

if left > 0 then
  local fields = {}
  if lease_until > now + lease_ms then
    fields = { 'l', int(now + lease_ms) }
  end
  register(fields)
  return remember(fields) or 'I' .. int(left)
end

-- Nobody knows whether the upstream acted.
local probing = prober and probe_until > now and prober ~= mine
if attempt == 0 and only_asks then
  forbid(key, '0', ARGV[4])
  wake()
  return 'S'
end
if attempt == 0 or (on_unknown == 'R' and not only_asks) then
  local taken_fence, none = next_fence()
  if none then
    return none
  end
  local taken_attempt = int(math.min(attempt + 1, 4294967295))
  begin(taken_fence, taken_attempt)
  call('HDEL', key, 'q', 'u')
  call('PEXPIRE', key, ARGV[4])
  return 'T' .. taken_fence .. ' ' .. taken_attempt
end
if on_unknown == 'P' and not probing then
  call('HSET', key, 'q', mine, 'u', int(now + probe_lease))
  return 'P' .. fence .. ' ' .. int(attempt) .. ' ' .. int(math.max(now - sent_by, 0))
end
local fields = {}
register(fields)
return remember(fields) or (probing and 'U1' or 'U0')
