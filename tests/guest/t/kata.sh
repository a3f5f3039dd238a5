# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: Kata Containers' share: what its runtime does on the host and its agent in the guest, with the layouts of both runtimes
# guests: uml
# case go: --cache=auto --thread-pool-size=1 --announce-submounts --max-inodes=2000
# case rs: --cache auto --thread-pool-size=1 -o announce_submounts --max-inodes=2000
# case chroot: --cache=auto --thread-pool-size=1 --announce-submounts --max-inodes=2000 --sandbox=chroot
# tag: kataShared
# mount: none
# timeout: 300
# root: yes

# The runtime's folders. What it puts into $TOPDIR shows in the share, which is a slave and read-only.
K=${RUN-}/kata
case $CASE in
go | chroot) TOPDIR=$K/mounts IN='' ;;
rs) TOPDIR=$K/rw IN=/passthrough ;;
esac
HEX=0123456789abcdef
FILES=600

before() {
	mkdir "$K"
	mount -t tmpfs -o mode=755 culvert-test "$K" || skip "cannot mount a file system here"
	echo "$K" >>"$RUN/mounts"
	mkdir -m 750 "$TOPDIR"
	mount --bind "$TOPDIR" "$TOPDIR"
	mount --make-shared "$TOPDIR"
	echo "$TOPDIR" >>"$RUN/mounts"
	chmod 700 "$SHARE"
	mount --bind "$TOPDIR" "$SHARE"
	mount --make-slave "$SHARE"
	mount -o remount,bind,ro "$SHARE"
	echo "$SHARE" >>"$RUN/mounts"
	mkdir -p "$TOPDIR$IN" "$K"/image/{bin,etc,data,ro,config,sub,block,run,files} "$K/snap"
	cp "$(command -v busybox)" "$K/image/bin/"
	local i
	for ((i = 0; i < FILES; i++)); do echo $i >"$K/image/files/$i"; done
}

# A volume: a directory or a file, read-only or not. Its mount is made read-only where it has been propagated to, too:
# on the host, that is. The copy in a mount namespace of the daemon's own stays as it was propagated.
volume() { # container name source [ro]
	local name=$IN/$1-$HEX-$2
	if [ -d "$3" ]; then mkdir "$TOPDIR$name"; else touch "$TOPDIR$name"; fi
	mount --bind "$3" "$TOPDIR$name"
	[ -z "${4-}" ] || {
		mount -o remount,bind,ro "$TOPDIR$name"
		mount -o remount,bind,ro "$SHARE$name"
	}
}

# As the kubelet writes it: a new folder, and a link to it that is renamed over the old one.
configmap() { # container text
	local dir=$K/$1/config
	mkdir "$dir/..$2"
	echo "$2" >"$dir/..$2/key"
	ln -s "..$2" "$dir/..data_tmp"
	mv -T "$dir/..data_tmp" "$dir/..data"
	[ -L "$dir/key" ] || ln -s ..data/key "$dir/key"
}

host_create() { # container
	local snap=$K/snap/$1 v=$K/$1
	mkdir -p "$snap"/{up,work,root} "$v"/{data,ro,config,block} "$v/vol/path/in"
	mount -t overlay overlay -o "lowerdir=$K/image,upperdir=$snap/up,workdir=$snap/work" "$snap/root"
	mkdir -p "$TOPDIR$IN/$1/rootfs"
	mount --bind "$snap/root" "$TOPDIR$IN/$1/rootfs"

	echo ro >"$v/ro/file"
	echo "127.0.0.1 $1" >"$v/hosts"
	echo sub >"$v/vol/path/in/file"
	configmap "$1" one
	# Only when nobody uses the file system any more is its loop device free again.
	truncate -s 8M "$v/img"
	mkfs.ext4 -q "$v/img"
	mount -o loop "$v/img" "$v/block" || skip "cannot mount a file system from a file"
	echo "$v/block" >>"$RUN/mounts"
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$v/data/hostsock"
	volume "$1" data "$v/data"
	volume "$1" ro "$v/ro" ro
	volume "$1" hosts "$v/hosts"
	volume "$1" config "$v/config" ro
	volume "$1" sub "$v/vol/path"
	volume "$1" block "$v/block"
}

host_swap() { # container
	configmap "$1" two
	rm -r "$K/$1/config/..one"
}

# What the container did has reached the host.
host_has() { # container
	want written cat "$K/snap/$1/up/etc/new"
	want written cat "$K/$1/data/new"
	want written cat "$K/$1/vol/path/in/new"
	want written cat "$K/$1/block/new"
	[ -S "$K/$1/data/sock" ]
	[ ! -e "$K/$1/ro/new" ]
}

free() { [ -z "$(losetup -j "$1")" ]; }

host_remove() { # container
	local path
	for path in "$TOPDIR$IN/$1"-*; do
		umount -l "$path"
		if [ -d "$path" ]; then rmdir "$path"; else rm "$path"; fi
	done
	umount -l "$TOPDIR$IN/$1/rootfs"
	rmdir "$TOPDIR$IN/$1/rootfs" "$TOPDIR$IN/$1"
	umount "$K/snap/$1/root" "$K/$1/block"
}

# The daemon lets go of it, as soon as the guest does.
host_released() { # container
	eventually 2 free "$K/$1/img" || return 1
	rm -r --one-file-system "${K:?}/$1" "$K/snap/$1"
}

# Its mounts: those of the process that serves.
daemon_mounts() {
	local p
	for p in $(daemon_pids); do
		wc -l <"/proc/$p/mountinfo"
	done | sort -n | head -n 1
}

host_baseline() {
	daemon_fds >"$RUN/fds"
	daemon_mounts >"$RUN/n_mounts"
	cat "$RUN/fds" "$RUN/n_mounts"
}
back() { [ "$(daemon_fds)" -le "$(cat "$RUN/fds")" ] && [ "$(daemon_mounts)" = "$(cat "$RUN/n_mounts")" ]; }
host_back() {
	eventually 30 back || {
		ls -l "/proc/$DAEMON_PID"/fd
		return 1
	}
}

# ---- the agent ----

CONTAINERS=/run/kata-containers SHARED=/run/kata-containers/shared/containers

container_start() { # container
	local root=$CONTAINERS/$1/rootfs v
	host create "$1"
	mkdir -p "$root"
	mount --bind "$SHARED$IN/$1/rootfs" "$root"
	for v in data ro config sub block; do
		mount --bind "$SHARED$IN/$1-$HEX-$v" "$root/$v"
	done
	mount -o remount,bind,ro "$root/config"
	mount -o remount,bind,ro "$root/ro"
	touch "$root/etc/hosts"
	mount --bind "$SHARED$IN/$1-$HEX-hosts" "$root/etc/hosts"
}

in_container() { # container script
	chroot "$CONTAINERS/$1/rootfs" /bin/busybox sh -euxc "$2"
}

swapped() { [ "$(cat "$CONTAINERS/$1/rootfs/config/key")" = two ]; }

container_use() { # container
	local root=$CONTAINERS/$1/rootfs i
	in_container "$1" 'set -o pipefail
		export PATH=/nothing
		bb=/bin/busybox
		[ "$($bb cat /etc/hosts)" = "127.0.0.1 '"$1"'" ]
		[ "$($bb find /files -type f | $bb wc -l)" = '$FILES' ]
		[ "$($bb cat /files/* | $bb wc -l)" = '$FILES' ]
		[ "$($bb cat /config/key)" = one ]
		[ "$($bb cat /sub/in/file)" = sub ]
		[ "$($bb cat /ro/file)" = ro ]
		[ -S /data/hostsock ]
		$bb rm /files/1
		$bb mv /files/2 /files/two
		for d in /etc /data /sub/in /block; do
			echo written >$d/new
			$bb chmod 600 $d/new
			$bb chown 7:8 $d/new
		done
		$bb ln /data/new /data/link
		$bb cp /bin/busybox /data/busybox
		[ "$(/data/busybox echo runs)" = runs ]'
	fails 'Read-only file system' touch "$root/ro/new"
	# A guest that does not obey its agent.
	if [ "$CASE" = chroot ]; then
		fails 'Read-only file system' touch "$SHARED$IN/$1-$HEX-ro/new"
	fi
	fails 'Read-only file system' touch "$SHARED/new"
	fails 'Read-only file system' mkdir "$SHARED$IN/new"
	python3 - "$root/data/sock" <<-'END'
		import socket, sys
		server = socket.socket(socket.AF_UNIX)
		server.bind(sys.argv[1])
		server.listen()
		client = socket.socket(socket.AF_UNIX)
		client.connect(sys.argv[1])
		client.send(b"through")
		assert server.accept()[0].recv(100) == b"through"
	END
	sync
	host has "$1"
	host swap "$1"
	for ((i = 0; i < 300; i++)); do
		! swapped "$1" || break
		sleep 0.1
	done
	swapped "$1"
	fails 'Read-only file system' touch "$root/config/new"
}

gone() { # path
	local i
	for ((i = 0; i < 300; i++)); do
		[ -e "$1" ] || return 0
		sleep 0.1
	done
	echo "FAIL: $1 is still there"
	return 1
}

container_stop() { # container
	local root=$CONTAINERS/$1/rootfs v
	umount "$root/etc/hosts" "$root"/{data,ro,config,sub,block}
	umount "$root"
	rmdir "$root" "$CONTAINERS/$1"
	host remove "$1"
	for v in data ro config sub block hosts; do
		gone "$SHARED$IN/$1-$HEX-$v"
	done
	gone "$SHARED$IN/$1/rootfs"
	gone "$SHARED$IN/$1"
	# One pass does not take the guest's kernel to all that it knows.
	for ((v = 0; v < 30; v++)); do
		drop_caches
		! host released "$1" || return 0
	done
	echo "FAIL: something of the container $1 is still in use"
	return 1
}

guest() {
	local i
	cd /
	mkdir -p "$SHARED"
	mount -t virtiofs -o nodev "$TAG" "$SHARED"
	ls "$SHARED$IN"
	host baseline
	step "two at a time"
	container_start one
	container_start two
	container_use one
	container_stop one
	container_use two
	container_stop two
	host back
	# Inodes that stayed with the daemon would add up to more than it may have.
	for ((i = 3; i <= 6; i++)); do
		step "container $i"
		container_start $i
		container_use $i
		container_stop $i
	done
	host back
	umount "$SHARED"
}

after() {
	want '' ls "$TOPDIR$IN"
	cd /
	umount "$SHARE" "$TOPDIR" "$K"
	: >"$RUN/mounts"
}
