-- Starts sagas that wait, under the keys 1, 2, 3, …; with one thread. Arguments: a text that no other run has; the number before the first.
local prefix, sent = "", 0
function init(args)
  prefix, sent = "park-" .. args[1] .. "-", tonumber(args[2])
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  -- Answered as soon as it is stored.
  wrk.headers["Prefer"] = "respond-async"
  wrk.body = '{"cart":"c-1"}'
end
function request()
  sent = sent + 1
  wrk.headers["Idempotency-Key"] = prefix .. sent
  return wrk.format()
end
