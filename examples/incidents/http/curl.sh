#!/bin/bash
# curl in the matrix of clients; see the README beside. One curl makes both requests, so
# that the second finds the connection of the first.
set -u

# request METHOD N adds what a request needs to the arguments.
request() {
	arguments+=(-s -o /dev/null -w "$1 $2: %{http_code} %{errormsg}\n" --resolve "server:8080:$SERVER")
	[ "$1" = GET ] || arguments+=(-d work)
	[ -z "${KEY:-}" ] || arguments+=(-H "Idempotency-Key: $1$2")
	arguments+=(http://server:8080/)
}

for method; do
	arguments=()
	[ -z "${PAUSE:-}" ] || arguments+=(--rate "$((60 / PAUSE))/m") # of the starts
	request "$method" 1
	arguments+=(--next)
	request "$method" 2
	curl "${arguments[@]}"
done
curl -s --resolve "server:8080:$SERVER" http://server:8080/executed
