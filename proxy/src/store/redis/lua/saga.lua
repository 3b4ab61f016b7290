-- What every script on one saga goes on with, after its partition: the saga itself.
--   KEYS[4]  …h:<id>, the head: a hash
--     v  version of this layout, '1'          s  state: R running, C compensating, D completed, U compensated, Q quarantined
--     z  paused, 1 or 0                       k  how many entries the journal has
--     o  owner, 16 bytes                      f  fence
--     e  nonce of the last append, 16 bytes (if there was one under this fence)
--     m  hold: D driven, P parked, R resting, E ended
--     l  when: D the lease's end, P due, E kept until, ms         d  length of the lease, ms (D)
--     u  updated at, ms                       c  created at, ms
--     n  name                                 p  fingerprint, 32 bytes         b  the rest of its birth, opaque
--     a  answer, and g  its fence (if any)    w  mailboxes, 32 hexadecimal digits each (if any)
--     q  nonces of the commands that wait, 16 bytes each (if any)
--   KEYS[5]  …e:<id>, the journal: a list of entries
--   KEYS[6]  …c:<id>, the commands that wait: a list
-- An open saga's keys never expire; head and journal of an ended one do, together.
local head, journal, commands = KEYS[4], KEYS[5], KEYS[6]
local id = string.sub(head, -32)

-- There is no saga where `state` is nil.
local state, paused, version, owner, fence, last_append, hold, at, lease_ms, updated, name, waiting
-- Why the saga cannot be read, to be returned.
local broken
-- It has ended, and Redis has not removed it yet.
local outlived = false

local function read_saga()
  local read = redis.pcall('HMGET', head, 'v', 's', 'z', 'k', 'o', 'f', 'e', 'm', 'l', 'd', 'u', 'n', 'q')
  if read.err then
    broken = read
    return
  end
  if not (read[1] or read[2]) then
    return
  end
  if read[1] ~= '1' then
    broken = { err = 'REFRAIN the saga has version ' .. string.format('%q', string.sub(read[1] or 'none', 1, 8)) .. ', not 1' }
    return
  end
  paused, version, owner, fence, last_append = read[3], tonumber(read[4] or ''), read[5], read[6], read[7]
  hold, at, lease_ms, updated, name = read[8], tonumber(read[9] or ''), tonumber(read[10] or ''), tonumber(read[11] or ''), read[12]
  waiting = read[13] or ''
  if not (read[2] and paused and version and owner and fence and hold and updated and name) or #owner ~= 16 or #waiting % 16 ~= 0
    or not string.find(read[2], '^[RCDUQ]$') or not string.find(paused, '^[01]$') or not string.find(fence, '^%d+$')
    or not string.find(hold, '^[DPRE]$') or not (at or hold == 'R') or not (lease_ms or hold ~= 'D') then
    broken = { err = 'REFRAIN the saga lacks fields' }
    return
  end
  outlived = hold == 'E' and at <= now
  state = not outlived and read[2] or nil
end

read_saga()

local function is_mine(by, under)
  return state and owner == by and fence == under
end

local function has_ended()
  return state == 'D' or state == 'U'
end

-- Writes what lists read, as the saga is now.
local function write_row()
  local kept_until = hold == 'E' and int(at) or '0'
  call('HSET', rows, id, table.concat({ '1', state, paused, int(version), fence, int(updated), kept_until, name }, ' '))
end

-- Puts the saga into the index, as it is now; what it was there before is the caller's to remove.
local function write_index()
  call('ZADD', index, '0', by_state(state, updated, id), '0', by_name(name, state, updated, id))
  if hold == 'E' then
    call('ZADD', index, '0', by_end(state, at, id))
  end
end

-- Gives the saga to its owner, from now on.
local function drive(lease)
  hold, lease_ms, at = 'D', tonumber(lease), now + lease
  call('HSET', head, 'm', 'D', 'l', int(at), 'd', int(lease_ms))
  call('ZADD', due, int(at), id)
end

-- rules::Saga::turn, after all else of the head is written: what comes next is D, P, R or E, in so many ms.
local function turn(next_hold, ms, has_answer, answer)
  if has_answer then
    call('HSET', head, 'a', answer, 'g', fence)
  end
  if (next_hold == 'P' or next_hold == 'R') and waiting ~= '' then
    -- A command that the driver has not seen must not wait for a timer, or for ever.
    next_hold, ms = 'P', 0
  end
  if next_hold == 'D' then
    drive(ms)
  elseif next_hold == 'P' then
    hold, at = 'P', now + ms
    call('HSET', head, 'm', 'P', 'l', int(at))
    call('HDEL', head, 'd')
    call('ZADD', due, int(at), id)
  elseif next_hold == 'R' then
    hold, at = 'R', nil
    call('HSET', head, 'm', 'R')
    call('HDEL', head, 'l', 'd')
    call('ZREM', due, id)
  else
    hold, at = 'E', now + math.max(tonumber(ms), 1)
    call('HSET', head, 'm', 'E', 'l', int(at))
    call('HDEL', head, 'd')
    call('ZREM', due, id)
    call('PEXPIREAT', head, int(at))
    call('PEXPIREAT', journal, int(at))
  end
end

-- Adds the mailbox, at most 64 and each once, to a saga that may still end. Where it does not fit into a full Redis, no word is sent
-- and the waiter's timer finds out; any other refusal is returned.
local function register(mailbox)
  if mailbox == '' or (state ~= 'R' and state ~= 'C') then
    return nil
  end
  local mailboxes = call('HGET', head, 'w') or ''
  if #mailboxes >= 64 * 32 then
    return nil
  end
  for i = 1, #mailboxes, 32 do
    if string.sub(mailboxes, i, i + 31) == mailbox then
      return nil
    end
  end
  local reply = redis.pcall('HSET', head, 'w', mailboxes .. mailbox)
  if type(reply) == 'table' and reply.err and not string.find(reply.err, '^%-?OOM') then
    return reply
  end
  return nil
end

-- Comes after the last write and cannot fail the script: a lost word is what the waiters' timers are for.
local function wake(mailboxes)
  local word = id .. string.rep('0', 32)
  for i = 1, math.min(#mailboxes, 64 * 32), 32 do
    redis.pcall('PUBLISH', 'refrain:m:' .. string.sub(mailboxes, i, i + 31), word)
  end
end

-- The saga as the caller reads it.
local function told()
  local rest = call('HMGET', head, 'c', 'p', 'b', 'a', 'g')
  local due_at = hold ~= 'E' and at and int(at) or false
  return { state, paused, int(version), fence, int(updated), due_at, name, rest[1], rest[2], rest[3], rest[4], rest[5] }
end

-- What its driver reads.
local function granted(tag)
  return string.format('%s%s %d %d %d', tag, fence, version, now, waiting ~= '' and 1 or 0)
end

-- All entries and all waiting commands; or an error to return, if they are not as many as the head says.
local function read_lists()
  local entries, asked = call('LRANGE', journal, '0', '-1'), call('LRANGE', commands, '0', '-1')
  if #entries ~= version or #asked * 16 ~= #waiting then
    return nil, nil, { err = 'REFRAIN the saga has ' .. #entries .. ' entries and ' .. #asked .. ' commands, and its head says '
      .. int(version) .. ' and ' .. #waiting / 16 }
  end
  return entries, asked, nil
end
