# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: the differential tester: the same on the share and on an ext4 file system of the guest comes to the same
# guests: uml
# daemon: --xattr --modcaps=+mknod
# case auto: --cache auto
# case always: --cache always
# case never: --cache never
# case metadata: --cache metadata
# root: yes
# timeout: 900

# Longer: FSDIFF_OPS=20000 FSDIFF_SEED=7 tests/guest/run fsdiff
before() {
	local program
	program=$(dirname "$DAEMON")/../../tests/diff/fsdiff
	[ -x "$program" ] || skip "tests/diff/fsdiff is not built: meson configure -Dtests=enabled"
	command -v mkfs.ext4 >/dev/null || skip "e2fsprogs are not installed"
	[ "$(stat -f -c %T .)" = ext2/ext3 ] || skip "the share is not on ext4"
	cp "$program" fsdiff
	echo "${FSDIFF_OPS:-3000} ${FSDIFF_SEED:-1}" >numbers
}

guest() {
	local ops seed opts=(--apart)
	read -r ops seed <numbers
	mv fsdiff /tmp/
	rm numbers
	busybox insmod "/host/usr/lib/uml/modules/$(uname -r)/kernel/drivers/block/loop.ko"
	truncate -s 400M /tmp/image
	mkfs.ext4 -q -b 4096 -I 256 /tmp/image
	mkdir /tmp/plain
	mount -o loop /tmp/image /tmp/plain
	mkdir a
	[[ $CASE != @(always|metadata) ]] || opts+=(--listings)

	step "two processes"
	/tmp/fsdiff --ops "$ops" --seed "$seed" --procs 2 --hang 200 "${opts[@]}" a /tmp/plain
	step "caches that are dropped"
	/tmp/fsdiff --ops $((ops / 5)) --seed "$seed" --cold 50 --hang 200 "${opts[@]}" a /tmp/plain
	step "three processes in the same directories"
	/tmp/fsdiff --ops $((ops / 5)) --seed "$seed" --procs 3 --shared --hang 200 "${opts[@]}" a /tmp/plain
	rmdir a
	want '' ls -A .
}
