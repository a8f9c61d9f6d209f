#!/bin/sh
# PostgreSQL with one account in its bank. Arguments are settings of the server.
set -eu

# It refuses to run as root; in a user namespace of its own we are nobody.
if [ "$(id -u)" = 0 ]; then
	exec unshare --user --map-user=65534 --map-group=65534 "$0" "$@"
fi

PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
data=$TMPDIR/data
initdb --pgdata="$data" --username=app --auth=trust --no-locale --no-sync >"$TMPDIR/initdb.log"
echo "host all all all trust" >>"$data/pg_hba.conf"
postgres --single -D "$data" postgres >"$TMPDIR/single.log" <<EOF
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account VALUES (1, 100);
EOF
# The lab ends it by SIGKILL, which would leave its shared memory in /dev/shm.
exec postgres -D "$data" -k "" -c listen_addresses="*" -c fsync=off -c dynamic_shared_memory_type=mmap "$@"
