-- POST of 1 KiB of JSON under a key that was never used before, and with a body that no other request has: some refuse a body that they
-- have seen under another key. Arguments: a text that no other run has.
local thread = 0
function setup(it)
  it:set("id", thread)
  thread = thread + 1
end
local sent, prefix, padding = 0, "", string.rep("x", 1022)
function init(args)
  prefix = "first-" .. args[1] .. "-" .. id .. "-"
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end
function request()
  sent = sent + 1
  local key = prefix .. sent
  wrk.headers["Idempotency-Key"] = key
  wrk.body = '"' .. key .. padding:sub(#key + 1) .. '"'
  return wrk.format()
end
