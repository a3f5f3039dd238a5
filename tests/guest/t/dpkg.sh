# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: dpkg unpacks 50 packages, and some a second time: names, owners, modes, links, contents are as on the host
# guests: uml
# root: yes
# timeout: 300

PACKAGES=50

# Packages with the small ones among what every Debian has, made anew from the files that are installed, so that nothing
# is fetched; without scripts, which would want a system to run in.
pack() { # package
	local dir=$RUN/pack
	rm -rf "$dir"
	mkdir -p "$dir/DEBIAN"
	dpkg-query -L "$1" | grep '^/.' | while IFS= read -r f; do
		# Below a path whose folders are links, and what is not installed, is left out.
		[ -e "$f" ] || [ -L "$f" ] || continue
		[ ! -d "$f" ] || [ -L "$f" ] || continue
		[ "$(realpath -- "${f%/*}/")" = "${f%/*}" ] || continue
		printf '%s\0' ".$f"
	done >"$RUN/files"
	tar -C / --null -T "$RUN/files" -cf - | tar -C "$dir" --numeric-owner -xpf -
	find "$dir" -type d -exec chmod 755 {} +
	# Two names of one file, a link to nowhere, an owner that no system has, modes of all kinds, a long name.
	mkdir -p "$dir/opt/$1"
	printf '%s' "$1" >"$dir/opt/$1/one"
	ln "$dir/opt/$1/one" "$dir/opt/$1/two"
	ln -s /nowhere/at/all "$dir/opt/$1/none"
	cp "$dir/opt/$1/one" "$dir/opt/$1/$(printf '%0200d' 7)"
	: >"$dir/opt/$1/empty"
	chown 4242:4343 "$dir/opt/$1/empty"
	cp /bin/true "$dir/opt/$1/setid"
	chown 12:34 "$dir/opt/$1/setid"
	chmod 6751 "$dir/opt/$1/setid"
	chmod 0 "$dir/opt/$1/one"
	mkdir -m 3770 "$dir/opt/$1/sticky"
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: %s\n' \
		"$1" "${2-1}" "$1" >"$dir/DEBIAN/control"
	dpkg-query -W -f '${Conffiles}\n' "$1" | awk '$1 ~ "^/" && NF == 2 { print $1 }' | while IFS= read -r f; do
		[ ! -f "$dir$f" ] || echo "$f"
	done >"$dir/DEBIAN/conffiles"
	dpkg-deb -Zgzip -z1 -b "$dir" "$DEBS/${2-1}" >/dev/null
}

unpack() { # packages-dir root
	mkdir -p "$2/var/lib/dpkg/updates" "$2/var/lib/dpkg/info"
	touch "$2/var/lib/dpkg/status"
	dpkg --root="$2" --force-not-root --log=/dev/null --unpack "$1"/*.deb >/dev/null
}

# Times of folders are those of the unpacking.
listing() { # root file
	(cd "$1" && find . -path './var/lib/dpkg' -prune -o -type d -printf '%p %y %m %U:%G\n' -o \
		-printf '%p %y %m %U:%G %n %s %Ts [%l]\n' | LC_ALL=C sort
		find . -path './var/lib/dpkg' -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
		find . -path './var/lib/dpkg/info/*' -printf '%p %s\n' | LC_ALL=C sort
		cat var/lib/dpkg/status) >"$2"
}

before() {
	local p DEBS=$SHARE/debs
	mkdir -p "$DEBS"/{1,2}
	dpkg-query -W -f '${Installed-Size} ${binary:Package} ${Priority}\n' | sort -n |
		awk -v most=$PACKAGES '$1 >= 40 && $3 ~ /required|important|standard|optional/ && n++ < most {
			sub(":.*", "", $2); print $2 }' >"$RUN/packages"
	while read -r p; do pack "$p"; done <"$RUN/packages"
	while read -r p; do pack "$p" 2; done < <(head -n 8 "$RUN/packages")
	want $PACKAGES bash -c "find $DEBS/1 -name '*.deb' | wc -l"
	unpack "$DEBS/1" "$RUN/root"
	listing "$RUN/root" first.want
	unpack "$DEBS/2" "$RUN/root"
	listing "$RUN/root" second.want
}

guest() {
	step "unpack"
	unpack debs/1 "$M/root"
	step "compare"
	drop_caches
	listing root first
	diff first.want first
	host compare first
	step "unpack newer ones over them"
	unpack debs/2 "$M/root"
	listing root second
	diff second.want second
	[ -z "$(find root -name '*.dpkg-tmp')" ]
}

host_compare() {
	listing root "$RUN/$1"
	diff "$1.want" "$RUN/$1"
}

after() {
	listing root "$RUN/second"
	diff second.want "$RUN/second"
}
