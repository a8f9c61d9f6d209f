#!/bin/sh
# Installs what the incidents run and this machine lacks, from Debian's packages, as root. The
# services that come with some of them are neither started nor enabled.
#
#	install.sh                    install what is missing
#	install.sh --missing NAME...  only tell which of these programs are missing
set -eu

for bin in /usr/sbin /usr/lib/postgresql/*/bin; do PATH=$PATH:$bin; done

# A program's package, by the name that a lab file has for it after "needs:".
package() {
	case $1 in
	java) echo default-jdk-headless ;;
	node) echo nodejs ;;
	postgres) echo postgresql ;;
	psql) echo postgresql-client ;;
	ss) echo iproute2 ;;
	curl | haproxy | nginx | python3 | python3-redis | redis-server) echo "$1" ;;
	*) echo "install.sh: no incident needs $1" >&2 && return 1 ;;
	esac
}

# here NAME tells whether a program is there, and what it cannot do without.
here() {
	case $1 in
	java) command -v java && command -v javac ;; # to run a source file
	python3-redis) /usr/bin/python3 -c "import redis" ;;
	*) command -v "$1" ;;
	esac >/dev/null 2>&1
}

# missing NAME... names those that are not.
missing() {
	for name; do
		[ "$name" = go ] || package "$name" >/dev/null
		here "$name" || echo "$name"
	done
}

if [ "${1:-}" = --missing ]; then
	shift
	missing "$@"
	exit
fi

all="curl haproxy java nginx node postgres psql python3 python3-redis redis-server ss"
names=$(missing $all)
[ -n "$names" ] || exit 0
echo "install.sh: missing here:" $names
[ "$(id -u)" = 0 ] || { echo "install.sh: run me as root" >&2 && exit 1; }

# Debian asks this file before it starts a service.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
fi
packages=$(for name in $names; do package "$name"; done)
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends $packages >/dev/null
if command -v systemctl >/dev/null; then
	for service in haproxy nginx postgresql redis-server; do
		case " $(echo $packages) " in
		*" $service "*) systemctl --quiet disable "$service" || true ;; # or there is no systemd here
		esac
	done
fi

names=$(missing $all)
[ -z "$names" ] || { echo "install.sh: still missing:" $names >&2 && exit 1; }
