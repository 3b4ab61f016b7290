-- POST of 1 KiB of JSON under one of the keys that `fill.lua` has stored, at random. Arguments: the text that the fill was given; how many
-- keys it stored.
local prefix, keys, padding = "", 1, string.rep("x", 1022)
function init(args)
  prefix, keys = "fill-" .. args[1] .. "-", tonumber(args[2])
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  math.randomseed(os.time())
end
function request()
  local key = prefix .. math.random(1, keys)
  wrk.headers["Idempotency-Key"] = key
  wrk.body = '"' .. key .. padding:sub(#key + 1) .. '"'
  return wrk.format()
end
