#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The release tarball is the same when it is made again; from it come what `make install` installs and the Debian package.
#
# usage: tests/package/deb.sh [DIR]
#
# What is made from the last commit, that is: tarball, package and lintian's verdict. They are left in DIR.
set -u
# shellcheck source=tests/package/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
OUT=$(mkdir -p "${1:-$WORK/result}" && cd "${1:-$WORK/result}" && pwd) || exit 2
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$TOP/meson.build")
tar=culvert-$version.tar.xz
src=$OUT/culvert-$version
deb=$OUT/culvert_${version}_$(dpkg --print-architecture).deb

# Once here, and once in a clone elsewhere, by somebody with other habits.
tarball_twice() {
	cd "$TOP" && DIST=$OUT scripts/dist HEAD || return
	git clone -q --no-hardlinks "$TOP" "$WORK/clone" && cd "$WORK/clone" || return
	(umask 077 && TZ=Asia/Tokyo LC_ALL=C.UTF-8 XZ_DEFAULTS='' DIST=$WORK/again scripts/dist) || return
	cmp "$OUT/$tar" "$WORK/again/$tar" && same "$OUT/$tar.sha256" "$WORK/again/$tar.sha256" && cd "$OUT" &&
		sha256sum -c --quiet "$tar.sha256"
}

# All that is in the repository, and with the tarball's own folder above it.
tarball_whole() {
	rm -rf "$src" && tar -C "$OUT" -xf "$OUT/$tar" &&
		same <(git -C "$TOP" ls-tree -r --name-only HEAD | LC_ALL=C sort) \
			<(cd "$src" && find . -type f -o -type l | sed 's,^\./,,' | LC_ALL=C sort)
}

files() { (cd "$1" && find . ! -type d -printf '%P\n' | LC_ALL=C sort); }


make_install() {
	cd "$src" && make -s BUILD="$WORK/b" prefix=/opt/culvert libexecdir=/opt/culvert/lib DESTDIR="$WORK/dest" install || return
	same <(printf 'opt/culvert/%s\n' bin/virtiofs-{bench,mount} etc/apparmor.d/opt.culvert.lib.virtiofsd \
		lib/systemd/system/virtiofsd@.{service,socket} lib/virtiofsd share/bash-completion/completions/virtiofsd \
		share/man/man1/virtiofs{-bench,-mount,d}.1 share/qemu/vhost-user/50-virtiofsd.json \
		share/zsh/site-functions/_virtiofsd) <(files "$WORK/dest") || return
	grep -F '"binary": "/opt/culvert/lib/virtiofsd"' "$WORK/dest/opt/culvert/share/qemu/vhost-user/50-virtiofsd.json" &&
		grep -F 'ExecStart=/opt/culvert/lib/virtiofsd ' "$WORK/dest/opt/culvert/lib/systemd/system/virtiofsd@.service" &&
		grep -F 'profile culvert-virtiofsd /opt/culvert/lib/virtiofsd ' "$WORK/dest/opt/culvert/etc/apparmor.d/"* &&
		"$WORK/dest/opt/culvert/lib/virtiofsd" --version
}

# What management software reads about the daemon is what the daemon says of itself.
description() {
	same <("$WORK/dest/opt/culvert/lib/virtiofsd" --print-capabilities | python3 -c 'import json, sys
print(json.load(sys.stdin)["features"])') <(python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["features"])' "$WORK/dest/opt/culvert/share/qemu/vhost-user/50-virtiofsd.json")
}

build() {
	cd "$src" && dpkg-buildpackage -us -uc -j"$(nproc)" && [ -f "$deb" ]
}

# Warnings count, in the source, the package and the debug symbols.
lintian_clean() {
	lintian --fail-on error,warning --allow-root "$OUT/culvert_${version}_$(dpkg --print-architecture).changes"
}

same_version() {
	same <(echo "$version") <(dpkg-parsechangelog -l "$src/debian/changelog" -S Version)
}

# None of these is in a package of the distribution.
contents() {
	dpkg-deb -x "$deb" "$WORK/deb" || return
	same <(printf '%s\n' etc/apparmor.d/usr.libexec.culvert.virtiofsd usr/bin/virtiofs-{bench,mount} \
		usr/lib/systemd/system/virtiofsd@.{service,socket} usr/libexec/culvert/virtiofsd \
		usr/share/bash-completion/completions/virtiofsd usr/share/man/man1/{culvert-virtiofsd,virtiofs-{bench,mount}}.1.gz \
		usr/share/qemu/vhost-user/60-culvert-virtiofsd.json usr/share/zsh/vendor-completions/_virtiofsd | LC_ALL=C sort) \
		<(files "$WORK/deb" | grep -v '^usr/share/doc/culvert/') &&
		grep -F '"binary": "/usr/libexec/culvert/virtiofsd"' "$WORK/deb/usr/share/qemu/vhost-user/60-culvert-virtiofsd.json" &&
		[ -x "$WORK/deb/usr/libexec/culvert/virtiofsd" ] && compgen -G "$WORK/deb/usr/share/doc/culvert/README.md*"
}

# The units as systemd reads them, which also looks whether there is the program that they start.
units() {
	local unit status
	mkdir -p "$WORK/units" || return
	for unit in service socket; do
		sed "s,=/usr/libexec/,=$WORK/deb/usr/libexec/," "$WORK/deb/usr/lib/systemd/system/virtiofsd@.$unit" \
			>"$WORK/units/virtiofsd@srv-data.$unit" || return
	done
	systemd-analyze verify --man=no "$WORK"/units/* >"$WORK/said" 2>&1
	status=$?
	cat "$WORK/said"
	[ $status = 0 ] && [ ! -s "$WORK/said" ]
}

# The fragments for Kata are TOML, and name the daemon where the package has it.
fragments() {
	python3 - "$WORK/deb" "$src"/contrib/kata/*.toml <<-'END'
		import os, sys, tomllib
		for path in sys.argv[2:]:
		    for section in tomllib.load(open(path, "rb"))["hypervisor"].values():
		        daemon = section["virtio_fs_daemon"]
		        assert daemon in section["valid_virtio_fs_daemon_paths"], path
		        assert os.access(sys.argv[1] + daemon, os.X_OK), path
		        size = section["virtio_fs_cache_size"]
		        window = ["--dax-window=%dG" % (size // 1024)] if size else []
		        assert [a for a in section["virtio_fs_extra_args"] if a.startswith("--dax")] == window, path
	END
}

profile() {
	apparmor_parser --skip-kernel-load --skip-cache --base /etc/apparmor.d \
		"$WORK/deb/etc/apparmor.d/usr.libexec.culvert.virtiofsd"
}

check "the tarball is the same twice" tarball_twice
check "the tarball has what the repository has" tarball_whole || exit 1
check "make install, from the tarball" make_install && check "the description for libvirt" description
check "one version" same_version
check "the package is built from the tarball" build || exit 1
check "lintian" lintian_clean
check "what is in the package" contents
check "systemd reads the units" units
check "the fragments for Kata fit it" fragments
check "AppArmor reads the profile" profile
verdict
