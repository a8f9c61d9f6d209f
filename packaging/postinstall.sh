#!/bin/sh
# The unit is neither enabled nor started: what it is to be inline for is its administrator's to say.
# The binary gets no capabilities either: whoever may run it would have power over everybody's
# connections. packaging/README.md gives them to a group.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
