-- What every script of the journal begins with: the clock, and one partition's indexes. Rules: journal::rules.
--
-- A saga's partition is its id modulo the number of partitions. All keys of partition N begin with refrain:j:{sN}: …
--   KEYS[1]  …due, a sorted set: ids by when they are due, ms
--   KEYS[2]  …index, a sorted set in lexical order: S<state><updated><id>, N<name's length><name><state><updated><id>, and for what
--            has ended E<state><kept until><id>. Times have 15 digits, ids 32 hexadecimal ones
--   KEYS[3]  …table, a hash: <id> the row '1 <state> <paused> <version> <fence> <updated> <kept until, or 0> <name>' (1 is the version of
--            this layout), b<id> the birth: created at in digits, fingerprint, the rest
-- The index and the table are what lists read. They hold an ended saga until some later script trims it; its head is what counts.
--
-- Numbers are written with %d, which access.lua tries: Lua's own conversion keeps 14 digits, and fences have 16.
local call = redis.call
local due, index, rows = KEYS[1], KEYS[2], KEYS[3]

local function int(number)
  return string.format('%d', number)
end

local function digits(ms)
  return string.format('%015d', ms)
end

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_us = time[1] * 1000000 + time[2]

-- The members of the index.
local function by_state(letter, updated_at, of)
  return 'S' .. letter .. digits(updated_at) .. of
end

local function by_name(named, letter, updated_at, of)
  return 'N' .. string.format('%08x', #named) .. named .. letter .. digits(updated_at) .. of
end

local function by_end(letter, kept_until, of)
  return 'E' .. letter .. digits(kept_until) .. of
end

-- Takes what is kept of a saga for lists out again.
local function drop(of)
  local row = call('HGET', rows, of)
  if not row then
    return
  end
  call('HDEL', rows, of, 'b' .. of)
  local letter, updated_at, kept_until, named = string.match(row, '^1 (%u) %d %d+ %d+ (%d+) (%d+) (.*)$')
  if letter then
    call('ZREM', index, by_state(letter, updated_at, of), by_name(named, letter, updated_at, of), by_end(letter, kept_until, of))
  end
end

-- Drops sagas that have outlived their retention: at most so many that completed, and so many that were compensated.
local function trim(most)
  for _, letter in ipairs({ 'D', 'U' }) do
    local gone = call('ZRANGEBYLEX', index, '[E' .. letter, '[E' .. letter .. digits(now) .. '\255', 'LIMIT', '0', most)
    for _, member in ipairs(gone) do
      call('ZREM', index, member)
      drop(string.sub(member, -32))
    end
  end
end
