-- POST of 1 KiB of JSON under one of the keys that `fill.lua` has stored, at random. Arguments: the text that the fill was given; how many
-- keys it stored.
local prefix, keys = "", 1
function init(args)
  prefix, keys = "fill-" .. args[1] .. "-", tonumber(args[2])
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = '"' .. string.rep("x", 1022) .. '"'
  math.randomseed(os.time())
end
function request()
  wrk.headers["Idempotency-Key"] = prefix .. math.random(1, keys)
  return wrk.format()
end
