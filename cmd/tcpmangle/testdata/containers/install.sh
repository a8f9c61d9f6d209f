#!/bin/sh
# Installs the engines of containers that tests attach to, docker and podman, from Debian's
# packages, as root. Neither is started or enabled: a test has them in a machine of its own.
set -eu

all="crun docker dockerd podman"

# missing names the programs that are not there.
missing() {
	for name in $all; do
		PATH=$PATH:/usr/sbin command -v "$name" >/dev/null || echo "$name"
	done
}

names=$(missing)
[ -n "$names" ] || exit 0
echo "install.sh: missing here:" $names
[ "$(id -u)" = 0 ] || { echo "install.sh: run me as root" >&2 && exit 1; }

# Debian asks this file before it starts a service.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 130' INT TERM HUP # of which some shells make no EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq

# units names those that are not there yet. They are disabled when they have come; those of
# an engine that somebody uses stay as they are.
units() {
	for unit in docker.service docker.socket containerd.service podman.service podman.socket \
		podman-restart.service podman-auto-update.service podman-auto-update.timer; do
		[ -e "/usr/lib/systemd/system/$unit" ] || [ -e "/lib/systemd/system/$unit" ] || [ -e "/etc/systemd/system/$unit" ] || echo "$unit"
	done
}
new=$(units)
# Nothing that is there has to go for it: another package of docker's, for example.
apt-get install -y -qq --no-remove --no-install-recommends $(echo $names | sed "s/dockerd*/docker.io/g") >/dev/null
if command -v systemctl >/dev/null; then
	for unit in $new; do
		systemctl --quiet disable "$unit" || true # it is not installed, or there is no systemd
	done
fi

names=$(missing)
[ -z "$names" ] || { echo "install.sh: still missing:" $names >&2 && exit 1; }
