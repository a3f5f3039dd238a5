# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# The other daemons, by package name: Rust's virtiofsd 1.14, of the suite after Debian 13, and QEMU's in C, the last of
# which is Debian 12's.
#
# Sourced; needs $CACHE, $TOP and tests/guest/lib/fetch.sh. A daemon of another suite is run with that suite's libraries,
# through its own ld.so. rust_get sets RUST, c_get sets QEMU_C: arrays, the start of a command.

RUST_SUITE=forky C_SUITE=bookworm

rust_get() {
	peer_get rust "$RUST_SUITE" virtiofsd usr/libexec/virtiofsd || return
	RUST=("${PEER[@]}")
}

# It is installed where QEMU of Debian 12 is.
c_get() {
	if /usr/lib/qemu/virtiofsd --version 2>/dev/null | grep -q '^using FUSE kernel interface'; then
		QEMU_C=(/usr/lib/qemu/virtiofsd)
	else
		peer_get c "$C_SUITE" qemu-system-common usr/lib/qemu/virtiofsd || return
		QEMU_C=("${PEER[@]}")
	fi
}

peer_get() { # name suite package program
	local dir=$CACHE/$1-$2
	[ -d "$dir" ] || under_lock peer_make "$dir" "${@:2}" || lack "no $3 of $2" || return
	PEER=("$dir/ld.so" --library-path "$dir/lib" "$dir/$4")
}

peer_make() { # dir suite package program
	local tmp=$1.new opts=() deb
	[ ! -d "$1" ] || return 0
	printf 'bench: fetching %s of %s (once)\n' "$3" "$2" >&2
	rm -rf "$tmp" "$tmp".*
	mkdir -p "$tmp/lib" && next_apt "$tmp.apt" "$2" || return
	# With nothing installed, as far as apt knows here, it fetches the libraries too.
	apt-get -qq "${opts[@]}" -o Debug::NoLocking=1 -o "APT::Sandbox::User=$(id -un)" -y --no-install-recommends \
		--download-only install "$3" >&2 || return
	for deb in "$tmp.apt"/archives/*.deb; do
		case ${deb##*/} in
		lib* | zlib* | "$3"_*) dpkg-deb -x "$deb" "$tmp.deb" || return ;;
		esac
	done
	find "$tmp.deb"/usr/lib/x86_64-linux-gnu "$tmp.deb"/lib/x86_64-linux-gnu -maxdepth 1 -name '*.so*' \
		-exec cp -a {} "$tmp/lib/" \; 2>/dev/null
	find "$tmp.deb" -name 'ld-linux-x86-64.so.2' -exec cp -L {} "$tmp/ld.so" \; &&
		mkdir -p "$tmp/$(dirname "$4")" && cp "$tmp.deb/$4" "$tmp/$4" &&
		"$tmp/ld.so" --library-path "$tmp/lib" "$tmp/$4" --version >&2 && mv "$tmp" "$1"
	local status=$?
	rm -rf "$tmp".*
	return $status
}
