# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: Kata Containers' share with virtio_fs_cache_size: a container whose files are in the DAX window
# guests: qemu-dax
# case go: --cache=auto --thread-pool-size=1 --announce-submounts
# tag: kataShared
# mount: none
# timeout: 600
# root: yes

# shellcheck source=tests/guest/t/kata.sh
. "$(dirname "${BASH_SOURCE[0]}")/kata.sh"

host_mapped() { # 0 or 1
	local n
	n=$(dax_maps)
	echo "$n files mapped in QEMU"
	[ $((n > 0)) = "$1" ]
}

guest() {
	cd /
	mkdir -p "$SHARED"
	mount -t virtiofs -o nodev,dax "$TAG" "$SHARED"
	ls "$SHARED"
	host baseline
	container_start one
	container_use one
	host mapped 1
	container_stop one
	host back
	umount "$SHARED"
	host mapped 0
}
