#!/bin/sh
# The unit ends before its binary goes; an update leaves it as it is. dpkg says "remove", rpm
# says how many of the package there will be.
set -e
case $1 in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --quiet --now tcpmangle.service
	fi
	;;
esac
