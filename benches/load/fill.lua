-- Stores keys 1, 2, 3, …, with the bodies that `stored.lua` sends; with one thread. Arguments: a text that no other run has; the number
-- before the first.
local prefix, sent, padding = "", 0, string.rep("x", 1022)
function init(args)
  prefix, sent = "fill-" .. args[1] .. "-", tonumber(args[2])
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
