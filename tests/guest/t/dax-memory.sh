# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: DAX: files larger than the window, by far; the guest's page cache stays empty; code from ranges used again
# guests: qemu-dax qemu-next-dax
# mount: dax=always
# window: 16M
# timeout: 600

before() {
	# The host has one of its own: what the guest has mapped is being written to, for execve(2).
	gcc -O1 -Wall -o "$RUN/dax" "$HERE/t/dax.c"
	cp "$RUN/dax" dax
	truncate -s 1G gigabyte
	echo 'at its end' >>gigabyte
	mkdir programs
	local i
	for i in {1..8}; do
		echo "int main(void) { return $i; }" | gcc -static -x c -o "programs/$i" -
	done
}

status() { "$@" && echo 0 || echo $?; }

cached() { awk '$1 == "Cached:" { print $2 }' /proc/meminfo; }

guest() {
	local old new i
	step "a gigabyte is read"
	drop_caches
	old=$(cached)
	dd if=gigabyte of=/dev/null bs=1M status=none
	want 'at its end' tail -c 11 gigabyte
	new=$(cached)
	step "Cached: $old KiB before, $new after"
	[ $((new - old)) -lt 8192 ]
	host maps 8

	step "without DAX it does grow"
	cd /
	umount "$M"
	share_mount -o dax=never
	cd "$M"
	drop_caches
	old=$(cached)
	head -c 100M gigabyte >/dev/null
	new=$(cached)
	step "Cached: $old KiB before, $new after"
	[ $((new - old)) -gt 65536 ]
	cd /
	umount "$M"
	share_mount -o dax=always
	cd "$M"

	step "storms"
	cp dax /tmp/dax
	/tmp/dax storm one 128 1 1200 &
	/tmp/dax storm two 64 2 1200
	wait $!

	step "programs"
	for i in {1..8} {8..1}; do
		want "$i" status "./programs/$i"
		# It takes their place in the window; TCG must not keep what it made of their code.
		head -c 17M gigabyte >/dev/null
	done
	cd /
}

# What is mapped is no more than the window.
host_maps() {
	local n
	n=$(dax_maps)
	echo "$n files mapped in QEMU"
	[ "$n" -ge 1 ] && [ "$n" -le "$1" ]
}

after() {
	want $((128 << 20)) stat -c %s one
	[ "$(stat -c %b one)" -gt 2000 ]
}
