# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: four request queues, and I/O from four CPUs at once
# guests: qemu qemu-next
# queues: 4
# timeout: 240

guest() {
	want 4 grep -c 'virtio.*-requests\.' /proc/interrupts
	want 4 nproc

	one() { # cpu
		local i
		mkdir "d$1"
		for i in 1 2 3 4 5; do
			head -c 2000000 /dev/urandom >"d$1/$i"
			cp "d$1/$i" "d$1/copy$i"
			sync "d$1/copy$i"
		done
		cat "d$1"/{1,2,3,4,5} | sha256sum >"d$1/sum"
		cat "d$1"/copy* | sha256sum | cmp - "d$1/sum"
	}
	local pids=() p cpu
	for cpu in 0 1 2 3; do
		taskset -p -c $cpu $BASHPID >/dev/null
		one $cpu &
		pids+=($!)
	done
	for p in "${pids[@]}"; do
		wait "$p"
	done
	drop_caches
	for cpu in 0 1 2 3; do
		cat "d$cpu"/copy* | sha256sum | cmp - "d$cpu/sum"
	done
	grep 'virtio.*-requests\.' /proc/interrupts
}

after() {
	local d
	for d in d0 d1 d2 d3; do
		cat "$d"/copy* | sha256sum | cmp - "$d/sum"
	done
}
