# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: sqlite with rollback journals and with WAL: a workload, several writers at once, kill -9 amid a transaction
# guests: uml
# timeout: 300

WRITERS=4 ROUNDS=20 ROWS=2000

# Words for the shell: stop at the first error, wait for locks, settle for what journal the database has.
sql() { # database [statement]
	sqlite3 -batch -bail -cmd '.timeout 60000' "$@"
}

# Every row says what must be in it, so that one look finds what is torn.
fill() { # journal
	sql "$1.db" <<-END
		PRAGMA page_size = 1024;
		PRAGMA journal_mode = $1;
		CREATE TABLE item(id INTEGER PRIMARY KEY, grp INT, body TEXT, note BLOB);
		CREATE TABLE count(n INT);
		INSERT INTO count VALUES (0);
		CREATE TABLE log(id INTEGER PRIMARY KEY, who INT, round INT);
		BEGIN;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $ROWS)
			INSERT INTO item SELECT i, i % 97, printf('body %d %.*c', i, i % 200, 'x'), zeroblob(i % 300) FROM n;
		COMMIT;
		CREATE INDEX item_grp ON item(grp, body);
		UPDATE item SET note = zeroblob(4000) WHERE id % 50 = 0;
		DELETE FROM item WHERE grp = 13;
		INSERT INTO item SELECT id * 97 + 13, 13, printf('body %d %.*c', id * 97 + 13, (id * 97 + 13) % 200, 'x'), NULL
			FROM item WHERE id * 97 + 13 <= $ROWS;
		SAVEPOINT one;
		DELETE FROM item WHERE id % 2 = 0;
		ROLLBACK TO one;
		RELEASE one;
		DROP INDEX item_grp;
		VACUUM;
		CREATE INDEX item_grp ON item(grp, body);
		ANALYZE;
	END
}

sound() { # database
	want ok sql "$1" 'PRAGMA integrity_check'
	want 0 sql "$1" "SELECT count(*) FROM item WHERE body != printf('body %d %.*c', id, id % 200, 'x')"
}

# One connection for all rounds: it sees what the others wrote in between.
writer() { # database who
	local i
	for ((i = 0; i < ROUNDS; i++)); do
		printf 'BEGIN IMMEDIATE;\nUPDATE count SET n = n + 1;\n'
		printf 'INSERT INTO log(who, round) VALUES (%d, %d);\nCOMMIT;\n' "$2" $i
		printf 'SELECT CASE WHEN n = (SELECT count(*) FROM log) THEN NULL ELSE abs(-9223372036854775808) END FROM count;\n'
	done | sql "$1" >/dev/null
}

# The shell kills itself with pages of an open transaction in the file or in its WAL, as they do not fit its cache.
killed() { # database
	local status=0
	sql "$1" >/dev/null 2>&1 <<-END || status=$?
		PRAGMA cache_size = 100;
		INSERT INTO log(who, round) VALUES (99, 1);
		BEGIN;
		INSERT INTO log(who, round) VALUES (99, 2);
		UPDATE item SET body = 'torn';
		.shell kill -KILL \$PPID
		.shell sleep 60
	END
	[ $status = 137 ]
}

guest() {
	local mode i p pids
	for mode in delete truncate persist wal; do
		step "$mode: a workload"
		want "$mode" fill $mode
		sound $mode.db

		step "$mode: $WRITERS writers"
		pids=()
		for ((i = 0; i < WRITERS; i++)); do
			writer $mode.db $i &
			pids+=($!)
		done
		for p in "${pids[@]}"; do wait "$p"; done
		want $((WRITERS * ROUNDS)) sql $mode.db 'SELECT n FROM count'
		want "$WRITERS|$((WRITERS * ROUNDS))" sql $mode.db 'SELECT count(DISTINCT who), count(*) FROM log'

		step "$mode: killed"
		killed $mode.db
		if [ $mode = wal ]; then
			[ "$(stat -c %s $mode.db-wal)" -gt $((ROWS * 100)) ]
			grep -q torn $mode.db-wal
		else
			[ "$(stat -c %s $mode.db-journal)" -gt $((ROWS * 100)) ]
			grep -q torn $mode.db
		fi
		drop_caches
		# Who cannot get a lock waits for it without end, so this finds locks of the dead, too.
		want 1 sql $mode.db 'SELECT count(*) FROM log WHERE who = 99'
		want 0 sql $mode.db "SELECT count(*) FROM item WHERE body = 'torn'"
		sound $mode.db
		sql $mode.db 'UPDATE count SET n = -1'
		killed $mode.db # this one is for the host to recover
	done
}

after() {
	local mode
	for mode in delete truncate persist wal; do
		want 2 sql $mode.db 'SELECT count(*) FROM log WHERE who = 99'
		want -1 sql $mode.db 'SELECT n FROM count'
		sound $mode.db
	done
}
