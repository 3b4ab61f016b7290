-- POST that submits a saga to dtmrs, each with a gid of its own; all its steps are in it. Arguments: a text that no other run has; where
-- the steps are; how many there are.
local thread = 0
function setup(it)
  it:set("id", thread)
  thread = thread + 1
end
local sent, prefix, steps = 0, "", ""
function init(args)
  prefix = "saga-" .. args[1] .. "-" .. id .. "-"
  local list = {}
  for step = 1, tonumber(args[3]) do
    list[step] = string.format(
      '{"action":"%s/step/%d","compensate":"%s/undo/%d","payload":"{\\"order\\":\\"ORDER\\",\\"step\\":%d}"}',
      args[2], step, args[2], step, step)
  end
  steps = table.concat(list, ",")
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end
function request()
  sent = sent + 1
  local gid = prefix .. sent
  wrk.body = '{"gid":"' .. gid .. '","trans_type":"saga","steps":[' .. steps:gsub("ORDER", gid) .. "]}"
  return wrk.format()
end
