#!/bin/sh
# HAProxy on the client host, in front of the backend at $SERVER, and its users.
# An argument is what the backend section says besides.
set -eu

cat >"$TMPDIR/haproxy.cfg" <<EOF
global
	nbthread 1
	log stderr format raw local0
defaults
	mode http
	option httplog
	log global
	timeout connect 5s
	timeout client 10s
	timeout server 10s
frontend users
	bind 127.0.0.1:8080
	monitor-uri /up
	default_backend app
backend app
	http-reuse always
	${1:-}
	server app $SERVER:8080
EOF
PATH=$PATH:/usr/sbin haproxy -f "$TMPDIR/haproxy.cfg" &
./users.sh
