#!/bin/sh
# curl, that waits for its answer and has not closed anything.
exec curl -sS -w "%{http_code}\n" --resolve "server:8080:$SERVER" http://server:8080/
