#!lua flags=allow-oom
-- Journal::list, of one partition: id, row, birth, and when it is due; the newest change first.
-- ARGV: limit, where to begin (<updated><id>, or '' for the newest), then what to look through: S<state>, or N<name's length><name><state>
local limit = tonumber(ARGV[1])
trim(100)

-- The row of what is still there; what is not is dropped as it is met.
local function live(of)
  local row = call('HGET', rows, of)
  local kept_until = row and string.match(row, '^1 %u %d %d+ %d+ %d+ (%d+) ')
  if kept_until and kept_until ~= '0' and tonumber(kept_until) <= now then
    drop(of)
    return nil
  end
  return row or nil
end

local found = {}
for family = 3, #ARGV do
  local prefix, taken = ARGV[family], 0
  local from = ARGV[2] == '' and '[' .. prefix .. '\255' or '(' .. prefix .. ARGV[2]
  for _ = 1, 16 do
    local members = call('ZREVRANGEBYLEX', index, from, '[' .. prefix, 'LIMIT', '0', limit + 100)
    for _, member in ipairs(members) do
      local row = live(string.sub(member, -32))
      if row then
        found[#found + 1] = { string.sub(member, #prefix + 1), row }
        taken = taken + 1
      end
      if taken == limit then
        break
      end
    end
    if taken == limit or #members < limit + 100 then
      break
    end
    from = '(' .. members[#members]
  end
end
table.sort(found, function(one, other) return one[1] > other[1] end)
local answer = {}
for i = 1, math.min(#found, limit) do
  local of = string.sub(found[i][1], 16)
  answer[i] = { of, found[i][2], call('HGET', rows, 'b' .. of), call('ZSCORE', due, of) }
end
return { 'K', answer }
