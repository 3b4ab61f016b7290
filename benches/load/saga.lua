-- POST that starts a saga, each under a key of its own and for an order of its own. Arguments: a text that no other run has.
local thread = 0
function setup(it)
  it:set("id", thread)
  thread = thread + 1
end
local sent, prefix = 0, ""
function init(args)
  prefix = "saga-" .. args[1] .. "-" .. id .. "-"
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end
function request()
  sent = sent + 1
  local key = prefix .. sent
  wrk.headers["Idempotency-Key"] = key
  wrk.body = '{"order":"' .. key .. '"}'
  return wrk.format()
end
