-- transition::undo, as far as the undo has no record of its own; claim.lua comes after it and goes on with that.
-- KEYS[1] is the undo's own record, KEYS[2] the step's, in the same slot.
-- ARGV: as for claim, with an empty note, and then: whether its driver knows that the step was done (1 or 0), on step unknown (H hold,
-- S send, P probe), probe lease ms, send after ms or ''. is_proof's arguments are about the step.
local function judge()
  read_clock()
  local of, by, ttl = KEYS[2], ARGV[2], ARGV[4]
  local knows_done, on_step_unknown, probe_lease, send_after = ARGV[12] == '1', ARGV[13], ARGV[14], ARGV[15]
  local step = call('HMGET', of, 'v', 's', 'f', 'a', 'l', 'm', 'b', 'w', 'q', 'u', 'n')
  local at, sends = step[2], tonumber(step[4] or '')
  if (step[1] or at) and (step[1] ~= '1' or not step[3] or not sends or (at ~= 'O' and at ~= 'D' and at ~= 'S')) then
    return { err = "REFRAIN the step's record cannot be read" }
  end

  -- Nothing to undo: the step stays forbidden, and the undo is done without a response.
  local function nothing()
    if at then
      forbid(of, '0', ttl)
    else
      forbid_absent(of, by, '0', ttl)
    end
    local first = int(now_us)
    call('HSET', key, 'v', '1', 's', 'D', 'p', ARGV[1], 'o', by, 'f', first, 'a', '0', 'r', '')
    call('PEXPIRE', key, ttl)
    tell(step[8] or '', of)
    return { 'D' .. first .. ' 0 ' .. ttl, '' }
  end

  -- The undo may be sent: claim.lua begins it.
  local function send()
    if not at then
      forbid_absent(of, by, '1', ttl)
    elseif at ~= 'D' then
      forbid(of, int(math.max(sends, 1)), ttl)
      tell(step[8] or '', of)
    end
    return nil
  end

  if not at then
    if not knows_done and is_proof(ARGV[8], ARGV[9], ARGV[10], ARGV[11]) then
      return nothing()
    end
    return send()
  end
  if at == 'D' or (at == 'S' and (sends > 0 or knows_done)) then
    return send()
  end
  if at == 'S' then
    return nothing()
  end

  local ends, length, began, waiting = tonumber(step[5] or ''), tonumber(step[6] or ''), tonumber(step[7] or ''), step[8] or ''
  local asking, asks_until, note = step[9], tonumber(step[10] or ''), step[11] or ''
  if not (ends and length and began) or #waiting % 32 ~= 0 or (asking and not asks_until) then
    return { err = "REFRAIN the step's open record lacks fields" }
  end
  local fields = {}
  local function wait()
    local box = string.match(ARGV[5], ':(.*)$')
    local known = box == '' or #waiting >= 64 * 32
    for i = 1, known and 0 or #waiting, 32 do
      known = known or string.sub(waiting, i, i + 31) == box
    end
    if not known then
      fields[#fields + 1] = 'w'
      fields[#fields + 1] = waiting .. box
    end
    if #fields > 0 then
      -- What does not fit into a full Redis is found out by the waiter's timer.
      local reply = redis.pcall('HSET', of, unpack(fields))
      if type(reply) == 'table' and reply.err and not string.find(reply.err, '^%-?OOM') then
        return reply
      end
    end
    return nil
  end

  local time_left = math.min(math.max(ends - now, 0), length)
  if time_left > 0 then
    if ends > now + length then
      fields = { 'l', int(now + length) }
    end
    return wait() or { 'i', int(time_left) }
  end
  if knows_done then
    return send()
  end
  if sends == 0 then
    return nothing()
  end
  local probing = asking and asks_until > now and asking ~= by
  if on_step_unknown == 'P' and note ~= '' and not probing then
    call('HSET', of, 'q', by, 'u', int(now + probe_lease))
    return { 'p', step[3], int(math.max(now - began, 0)), note }
  end
  -- Somebody who asks the service will know better, soon.
  if send_after ~= '' and not probing and began + send_after <= now then
    return send()
  end
  return wait() or { 'u', probing and '1' or '0' }
end

if not standing then
  local judged = judge()
  if judged then
    return judged
  end
end
