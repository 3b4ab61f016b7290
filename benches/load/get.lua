-- GET, nothing else.
wrk.method = "GET"
