#!/bin/bash
# Users of the proxy on this host, as soon as it is up: two for each method, one after the
# other, each with a connection of his own.
set -eu
proxy=http://127.0.0.1:8080

# ask METHOD N prints the status that the N-th user of a method gets.
ask() { curl -s -o /dev/null -X "$1" -w "$1 $2: %{http_code}\n" "$proxy"; }

until curl -s -o /dev/null "$proxy/up"; do sleep 0.05; done
for method in GET POST; do
	ask "$method" 1
	sleep "$PAUSE"
	ask "$method" 2
done
curl -s "$proxy/executed"
