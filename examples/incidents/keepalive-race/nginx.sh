#!/bin/sh
# nginx on the client host, in front of the backend at $SERVER, and its users.
# An argument is what the upstream block says besides.
set -eu
case $SERVER in *:*) backend="[$SERVER]" ;; *) backend=$SERVER ;; esac

cat >"$TMPDIR/nginx.conf" <<EOF
user root; # whoever that is here
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	upstream backend {
		server $backend:8080;
		keepalive 4;
		${1:-}
	}
	server {
		listen 127.0.0.1:8080;
		location = /up { return 204; }
		location / {
			proxy_pass http://backend;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
EOF
PATH=$PATH:/usr/sbin nginx -p "$TMPDIR" -c nginx.conf -e stderr &
./users.sh
