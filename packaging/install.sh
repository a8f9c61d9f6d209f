#!/bin/sh
# Installs what the tests of the packages run and this machine lacks, from Debian's packages, as root.
set -eu

missing=
for pair in /usr/lib/systemd/systemd:systemd systemctl:systemd rpm:rpm setcap:libcap2-bin ip:iproute2 pgrep:procps \
	nsenter:util-linux groupadd:passwd; do
	command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
echo "install.sh: missing here:$missing"
[ "$(id -u)" = 0 ] || { echo "install.sh: run me as root" >&2 && exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # they are several
apt-get install -y -qq --no-remove --no-install-recommends $missing >/dev/null
