#!/bin/sh
# curl, that prints the body, and why it is content or not.
exec curl -sS --resolve "server:8080:$SERVER" http://server:8080/
