# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: PostgreSQL makes a cluster, works under pgbench, is stopped amid it without a word, and recovers
# guests: uml
# root: yes
# postgresql: yes
# timeout: 300

# As the user daemon, whom every Debian knows: the programs want a name, and not root's.
pg() { # program args...
	as 1 env -C /tmp PATH="$BIN:$PATH" LD_LIBRARY_PATH=/mnt/pg/lib/x86_64-linux-gnu PGHOST=/tmp PGUSER=daemon \
		PGDATABASE=postgres PGDATA="$M/data" "$@"
}
query() { pg psql -XAtq -v ON_ERROR_STOP=1 -c "$1"; }
start() {
	pg pg_ctl -w -t 100 -l "$M/data/server.log" start -o "-c listen_addresses='' -c unix_socket_directories=/tmp \
		-c shared_buffers=8MB -c max_wal_size=64MB -c wal_sync_method=$1 -c jit=off" >/tmp/start || {
		cat "$M/data/server.log"
		return 1
	}
}

# pgbench adds the same sum in three tables and writes it down in a fourth, in one transaction.
balanced() {
	want 1 query 'SELECT count(DISTINCT sum) FROM (SELECT sum(abalance) FROM pgbench_accounts UNION ALL
		SELECT sum(tbalance) FROM pgbench_tellers UNION ALL SELECT sum(bbalance) FROM pgbench_branches UNION ALL
		SELECT sum(delta) FROM pgbench_history) sums'
	want 100000 query 'SELECT count(*) FROM pgbench_accounts'
}
history() { query 'SELECT count(*) FROM pgbench_history'; }
until_more() { # count
	until [ "$(history)" -gt "$1" ]; do :; done
}

guest() {
	local bench before
	mkdir /mnt/pg
	mount -o bind "/host$PG/usr" /mnt/pg
	BIN=$(echo /mnt/pg/lib/postgresql/*/bin)
	mkdir -m 700 data
	chown 1:1 data

	step "initdb"
	pg initdb --auth=trust --data-checksums --no-locale --encoding=UTF8 >/tmp/initdb || {
		cat /tmp/initdb
		return 1
	}
	step "pgbench -i"
	start fdatasync
	pg pgbench -i -s 1 -q 2>/dev/null
	step "pgbench"
	pg pgbench -n -c 4 -t 75 >/tmp/bench 2>&1 || {
		cat /tmp/bench
		return 1
	}
	want 300 history
	balanced

	step "stopped amid it"
	pg pgbench -n -c 4 -T 200 >/tmp/bench 2>&1 &
	bench=$!
	until_more 400
	before=$(history)
	pg pg_ctl -w -m immediate stop >/dev/null
	if wait $bench; then return 1; fi
	drop_caches

	step "recovery"
	start open_datasync
	grep -q 'redo done' data/server.log
	[ "$(history)" -ge "$before" ]
	balanced
	query 'CREATE EXTENSION amcheck'
	want t query "SELECT count(bt_index_check(indexrelid, true)) > 50 FROM pg_index i JOIN pg_class c ON c.oid = indexrelid
		JOIN pg_am a ON a.oid = relam WHERE amname = 'btree' AND relpersistence = 'p' AND indisvalid"

	step "vacuum, a tablespace of links, and an end in order"
	mkdir -m 700 space
	chown 1:1 space
	query "CREATE TABLESPACE space LOCATION '$M/space'"
	query 'ALTER TABLE pgbench_accounts SET TABLESPACE space'
	query 'VACUUM FULL pgbench_history'
	balanced
	pg pg_ctl -w -m fast stop >/dev/null
	drop_caches
	pg pg_checksums --check >/tmp/sums
	grep -q 'Bad checksums: *0' /tmp/sums
	want '' find data space ! -uid 1

	step "one byte is wrong"
	printf X | dd of="$(find space -type f -size +1M -print -quit)" bs=1 seek=20000 conv=notrunc status=none
	if pg pg_checksums --check >/dev/null 2>&1; then return 1; fi
}
