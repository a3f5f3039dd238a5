# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: DAX: every kind of file and access, with dax=always, =inode, =never and none; programs run from the window
# guests: qemu-dax qemu-next-dax
# mount: none
# window: 64M
# timeout: 600

before() {
	# The host has one of its own: what the guest has mapped is being written to, for execve(2).
	gcc -O1 -Wall -o "$RUN/dax" "$HERE/t/dax.c"
	cp "$RUN/dax" dax
	mkdir files programs
	head -c 3000000 /dev/urandom >blob
	sha256sum blob >blob.sum
	# Programs that are alike, but for a constant in their code.
	local i
	for i in {1..24}; do
		echo "int main(void) { return $i; }" | gcc -static -x c -o "programs/$i" -
	done
}

# How many ranges of the window have a file of the share.
host_maps() { # least [most]
	local n
	n=$(dax_maps)
	echo "$n files mapped in QEMU"
	[ "$n" -ge "$1" ] && [ "$n" -le "${2:-100000}" ]
}

status() { "$@" && echo 0 || echo $?; }

programs() {
	local i
	for i in {1..24}; do
		want "$i" status "./programs/$i"
	done
}

guest() {
	local mode
	for mode in always inode never ''; do
		step "dax=$mode"
		share_mount ${mode:+-o "dax=$mode"}
		cd "$M"
		case $mode in
		always) want dax ./dax is blob ;;
		never) want cached ./dax is blob ;;
		esac
		sha256sum -c --quiet blob.sum
		case $mode in
		always) host maps 2 ;;
		never) host maps 0 0 ;;
		esac
		(cd files && ../dax files && rm -f huge)
		sha256sum -c --quiet blob.sum
		if [ "$mode" = always ]; then
			step "programs"
			programs
			cp /bin/busybox programs/
			want 'from the window' programs/busybox echo 'from the window'
			rm programs/busybox
			(cd files && ../dax files)
			host huge
			rm files/huge
		fi
		cd /
		umount "$M"
		host maps 0 0
	done
}

host_huge() {
	want 1099511627776 stat -c %s files/huge
	[ "$(stat -c %b files/huge)" -le 1024 ]
}

after() { sha256sum -c --quiet blob.sum; }
