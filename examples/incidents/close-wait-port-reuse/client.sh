#!/bin/sh
# Two requests from the same port, the second as soon as the kernel lets go of the first.
set -u

# ask NAME SECONDS makes a request, and tells the status that came by then.
ask() {
	curl -sS -o /dev/null -w "$1: %{http_code}\n" --local-port 40000 --max-time "$2" \
		--resolve "server:8080:$SERVER" http://server:8080/
}

ask first 2
while ss -Htan "sport = :40000" | grep -q .; do sleep 0.05; done
ask second 4
exit 0
