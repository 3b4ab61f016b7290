-- POST of 1 KiB of JSON under one key, always the same. Arguments: the key.
function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Idempotency-Key"] = args[1]
  wrk.body = '"' .. string.rep("x", 1022) .. '"'
end
