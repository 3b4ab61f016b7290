-- POST of 1 KiB of JSON under a key that was never used before. Arguments: a text that no other run has.
local thread = 0
function setup(it)
  it:set("id", thread)
  thread = thread + 1
end
local sent, prefix = 0, ""
function init(args)
  prefix = "first-" .. args[1] .. "-" .. id .. "-"
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = '"' .. string.rep("x", 1022) .. '"'
end
function request()
  sent = sent + 1
  wrk.headers["Idempotency-Key"] = prefix .. sent
  return wrk.format()
end
