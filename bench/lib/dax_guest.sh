# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# bench/dax's part in the guest: tests/guest/guest/main.sh sources it and calls guest().

# fio and its libraries in memory, so that dropping caches does not make it slow to start.
fio_copy() {
	local f
	cp "/host$RUN/mmap4k" /tmp/mmap4k
	mkdir /tmp/fio
	f=$(command -v fio)
	for f in "$f" $(ldd "$f" | grep -oE '/[^ ]+'); do cp -L "$f" /tmp/fio/; done
	mv /tmp/fio/ld-linux* /tmp/fio/ld.so
}

# In KiB: what is free, what the page cache holds.
guest_memory() {
	awk '$1 == "MemFree:" { f = $2 } $1 == "Cached:" { c = $2 } END { print f, c }' /proc/meminfo
}

# Prints KiB, milliseconds, page faults.
fio_run() { # engine kind jobs seconds options...
	local status=0
	/tmp/fio/ld.so --library-path /tmp/fio /tmp/fio/fio --name=j --directory="$M" "${@:5}" --rw="$2" --bs=4k \
		--ioengine="$1" --numjobs="$3" --runtime="$4" --thread --group_reporting --gtod_reduce=1 --fallocate=none \
		--random_generator=lfsr --scramble_buffers=0 --minimal --terse-version=3 --output=/tmp/out || status=$?
	# KiB and milliseconds: fields 6 and 9 of what was read, 47 and 50 of what was written; 91 and 92 are page faults.
	awk -F ';' -v w="$2" '/^3;/ { print w ~ /write/ ? $47 " " $50 : $6 " " $9, $91 + $92 }' /tmp/out
	return $status
}

one() { # number round job seconds arm kind tag options
	local engine rw n files=() status=0 before after out
	IFS=- read -r engine rw n <<<"$3"
	if [ "$n" = 1 ]; then
		files=(--filename=whole --size="${SIZE}m")
	else
		files=("--filename_format=part.\$jobnum" --size="$((SIZE / n))m")
	fi
	[[ $rw != *write ]] || files+=(--end_fsync=1)
	mount -t "$6" -o "$8" "$7" "$M"
	drop_caches
	# All that is mapped stays mapped: what is left to do is the guest CPU's part.
	[[ $5 != *-hot ]] || cat "$M/whole" >/dev/null
	host before "$7"
	before=$(guest_memory)
	if [ "$engine" = bare ]; then
		out=$(/tmp/mmap4k "$M/whole" "$rw" "$4") || status=$?
	else
		out=$(fio_run "$engine" "$rw" "$n" "$4" "${files[@]}") || status=$?
	fi
	after=$(guest_memory)
	host after "$7"
	[ -n "$out" ] && [ "${out%% *}" != 0 ] || status=1
	[ $status = 0 ] || { cat /tmp/out && out="0 1 0"; }
	host result "$1" "$2" "$3" "$5" $status "$out" "$before" "$after"
	umount "$M"
	drop_caches
}

guest() {
	fio_copy
	host fact guest "Linux $(uname -r)"
	host fact clock "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
	host fact memory "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
	cp "/host$RUN/plan" /tmp/plan
	while read -r -u 3 -a words && host more; do one "${words[@]}"; done 3</tmp/plan
}
