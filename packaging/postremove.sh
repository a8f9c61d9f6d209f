#!/bin/sh
# What the unit has written goes with the package: with dpkg when it is purged, with rpm always.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case $1 in
purge | 0) rm -rf /var/log/tcpmangle /var/log/private/tcpmangle ;;
esac
