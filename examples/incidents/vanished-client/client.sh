#!/bin/bash
# Two sessions about one account. The first changes it and vanishes within its transaction;
# the second wants to change it, too, and waits a second for the lock, six times.
set -eu
export PGHOST=$SERVER PGUSER=app PGDATABASE=postgres PGCONNECT_TIMEOUT=20

until pg_isready -q; do sleep 0.1; done
coproc first { exec psql; }
echo "BEGIN; UPDATE account SET balance = 0 WHERE id = 1;" >&"${first[1]}"
until read -r answer <&"${first[0]}" && [ "$answer" = "UPDATE 1" ]; do :; done
sleep 0.5 # idle in its transaction; its kernel has acknowledged the answer
kill -9 "$first_PID"

for try in 1 2 3 4 5 6; do
	if psql -q -c "SET lock_timeout = '1s'" -c "UPDATE account SET balance = 50 WHERE id = 1"; then
		echo "the lock is free at try $try"
		exit
	fi
done
echo "the lock is held"
