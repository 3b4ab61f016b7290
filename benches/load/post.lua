-- POST of a JSON document. Arguments: its size in bytes (1024).
function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = '"' .. string.rep("x", (tonumber(args[1]) or 1024) - 2) .. '"'
end
