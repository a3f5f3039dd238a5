# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What guests are made from and is not installed: a stock kernel for QEMU, a newer User-Mode Linux, a big source tree.
# Fetched by package name with apt, which checks every signature and sum, and kept in $CACHE.
#
# Theory of operation: each *_get makes one folder or file in the cache, under a lock and by rename, so that what exists
# is whole; then it sets a variable to its path. Sourced; needs $CACHE.

# Something is missing: say so, and fail.
lack() {
	printf 'guest: %s\n' "$*" >&2
	return 1
}

under_lock() { # command...
	local status
	mkdir -p "$CACHE" || return
	exec {lock}>"$CACHE/lock"
	flock "$lock"
	"$@"
	status=$?
	exec {lock}>&-
	return $status
}

apt_lists() {
	apt-cache show bash >/dev/null 2>&1 || lack "apt has no package lists; run scripts/deps guest, or apt-get update"
}

# Download one package into the current directory.
deb_download() { # package apt-options...
	local pkg=$1
	shift
	apt-get -qq "$@" -o APT::Sandbox::User="$(id -un)" download "$pkg" >&2
}

# Unpack one package of this machine's own suite, or with apt-options of another, into $1.
deb_unpack() { # dir package apt-options...
	local dir=$1 pkg=$2 tmp
	shift 2
	tmp=$(mktemp -d "$CACHE/deb.XXXXXX") || return
	(cd "$tmp" && deb_download "$pkg" "$@") && dpkg-deb -x "$tmp"/*.deb "$dir"
	local status=$?
	rm -rf "$tmp"
	[ $status = 0 ] || lack "cannot fetch the package $pkg; is this machine on line, and are apt's lists new?"
	return $status
}

# Debian's stock kernel, whichever linux-image-amd64 stands for here, or in the next suite. $KERNEL: a folder with
# vmlinuz and modules/. How many of those it should have is in its name: one with fewer is not taken.
kernel_get() { # "" or next
	KERNEL=$CACHE/kernel-${#QEMU_MODULES[@]}
	[ -z "$1" ] || KERNEL+=-$(next_suite)
	[ -d "$KERNEL" ] || under_lock kernel_make "$1" || lack "no kernel for QEMU"
}

# What a package depends on, as far as it looks like that. Uses opts.
apt_needs() { # package pattern
	apt-cache "${opts[@]}" depends --important "$1" | awk -v re="$2" '$1 == "Depends:" && $2 ~ re { print $2 }'
}

kernel_make() { # "" or next
	local pkg part tmp=$KERNEL.new opts=()
	[ ! -d "$KERNEL" ] || return 0
	rm -rf "$tmp" "$tmp".*
	if [ -z "$1" ]; then
		apt_lists || return
	else
		next_apt "$tmp.apt" || return
	fi
	pkg=$(apt_needs linux-image-amd64 '^linux-image-')
	[ -n "$pkg" ] || return
	printf 'guest: fetching %s (once)\n' "$pkg" >&2
	mkdir -p "$tmp.deb" "$tmp/modules" || return
	# Of late the image's package is an empty one that needs two others.
	for part in "$pkg" $(apt_needs "$pkg" '^linux-(binary|modules)-'); do
		deb_unpack "$tmp.deb" "$part" "${opts[@]}" || return
	done
	find "$tmp.deb" -type f -name 'vmlinuz*' -exec cp {} "$tmp/vmlinuz" \; && [ -s "$tmp/vmlinuz" ] &&
		modules_copy "$tmp.deb" "$tmp/modules" "${QEMU_MODULES[@]}" &&
		printf '%s\n' "$pkg" >"$tmp/name" &&
		mv "$tmp" "$KERNEL"
	local status=$?
	rm -rf "$tmp".*
	return $status
}

# The suite after this machine's.
next_suite() {
	# shellcheck disable=SC1091
	case $(. /etc/os-release && echo "${VERSION_CODENAME-}") in
	bookworm) echo trixie ;;
	*) echo forky ;;
	esac
}

# The archive that this machine takes its packages from.
apt_mirror() {
	apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' |
		awk '$2 == "main" && $3 !~ /security/ { print $1; exit }' | grep . ||
		lack "apt knows no mirror; run scripts/deps guest, or apt-get update"
}

# Make apt know the next suite, or another, and nothing else, in a folder of its own. Sets opts, which apt then needs.
next_apt() { # dir [suite]
	local mirror
	mirror=$(apt_mirror) || return
	mkdir -p "$1/lists/partial" "$1/archives/partial" "$1/empty" || return
	printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' \
		"$mirror" "${2:-$(next_suite)}" >"$1/list"
	: >"$1/status"
	opts=(-o "Dir::State=$1" -o "Dir::State::lists=$1/lists" -o "Dir::State::status=$1/status"
		-o "Dir::Cache=$1" -o "Dir::Etc::sourcelist=$1/list" -o "Dir::Etc::sourceparts=$1/empty"
		-o "Dir::Etc::preferencesparts=$1/empty" -o Acquire::Languages=none)
	# A mirror of a suite in the making may lag; signatures are checked all the same.
	apt-get -qq "${opts[@]}" -o APT::Sandbox::User="$(id -un)" -o Acquire::Check-Valid-Until=false update >&2
}

# User-Mode Linux of the next suite, with the C library that it wants. $UML_NEXT: a folder with linux.uml, ld.so,
# libc.so.6 and modules/; run linux.uml in that folder.
uml_next_get() {
	UML_NEXT=$CACHE/uml-${#UML_MODULES[@]}-$(next_suite)
	[ -d "$UML_NEXT" ] || under_lock uml_next_make || lack "no newer User-Mode Linux"
}

uml_next_make() {
	local tmp=$UML_NEXT.new opts=() old=/lib64/ld-linux-x86-64.so.2 new=./ld.so
	[ ! -d "$UML_NEXT" ] || return 0
	printf 'guest: fetching user-mode-linux of %s (once)\n' "$(next_suite)" >&2
	rm -rf "$tmp" "$tmp".*
	mkdir -p "$tmp/modules" "$tmp.deb" || return
	next_apt "$tmp.apt" &&
		deb_unpack "$tmp.deb" user-mode-linux "${opts[@]}" &&
		deb_unpack "$tmp.deb" libc6 "${opts[@]}" &&
		cp -L "$tmp.deb"/usr/lib/x86_64-linux-gnu/libc.so.6 "$tmp/" &&
		cp -L "$tmp.deb"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$tmp/ld.so" &&
		modules_copy "$tmp.deb" "$tmp/modules" "${UML_MODULES[@]}" &&
		# The newer C library is not installed, and UML must be started by the kernel, not through ld.so, so
		# the interpreter's name in the file is changed to one beside it, padded to the length it had.
		LC_ALL=C sed "s|$old|$new$(printf '\\x00%.0s' $(seq $((${#old} - ${#new}))))|" \
			"$tmp.deb/usr/bin/linux.uml" >"$tmp/linux.uml" &&
		chmod 755 "$tmp"/* && mv "$tmp" "$UML_NEXT"
	local status=$?
	rm -rf "$tmp".*
	return $status
}

# contrib/qemu's QEMU, whose vhost-user-fs-pci has a DAX window; built when it is not there. Sets QEMU.
qemu_dax_get() { # version
	local out
	out=$("$TOP/contrib/qemu/build" --version "$1") || lack "no QEMU with a DAX window" || return
	QEMU=("$out" -L /usr/share/qemu -L /usr/share/seabios)
}

# QEMU as a newer suite has it (11 or later, which can do shared memory), with the libraries that it wants. Sets QEMU.
STOCK_SUITE=forky

qemu_stock_get() {
	local dir=$CACHE/qemu-$STOCK_SUITE
	[ -d "$dir" ] || under_lock qemu_stock_make "$dir" || lack "no QEMU of a newer suite" || return
	QEMU=(env "QEMU_MODULE_DIR=$dir/usr/lib/x86_64-linux-gnu/qemu" "$dir/ld.so" --library-path "$dir/lib"
		"$dir/usr/bin/qemu-system-x86_64" -L "$dir/usr/share/qemu" -L "$dir/usr/share/seabios")
}

qemu_stock_make() { # dir
	local tmp=$1.new opts=() deb
	[ ! -d "$1" ] || return 0
	printf 'guest: fetching qemu-system-x86 of %s (once)\n' "$STOCK_SUITE" >&2
	rm -rf "$tmp" "$tmp".*
	mkdir -p "$tmp/lib" && next_apt "$tmp.apt" "$STOCK_SUITE" || return
	# With nothing installed, as far as apt knows here, it fetches the libraries too.
	apt-get -qq "${opts[@]}" -o Debug::NoLocking=1 -o "APT::Sandbox::User=$(id -un)" -y --no-install-recommends \
		--download-only install qemu-system-x86 >&2 || return
	for deb in "$tmp.apt"/archives/*.deb; do
		case ${deb##*/} in
		lib* | zlib* | qemu-* | seabios* | ipxe-*) dpkg-deb -x "$deb" "$tmp" || return ;;
		esac
	done
	find "$tmp/usr/lib/x86_64-linux-gnu" -maxdepth 1 -name '*.so*' -exec cp -a {} "$tmp/lib/" \; &&
		cp -L "$tmp"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$tmp/ld.so" &&
		find "$tmp/usr/lib" -mindepth 1 -maxdepth 2 ! -name x86_64-linux-gnu ! -name qemu -exec rm -rf {} + &&
		"$tmp/ld.so" --library-path "$tmp/lib" "$tmp/usr/bin/qemu-system-x86_64" -version >&2 && mv "$tmp" "$1"
	local status=$?
	rm -rf "$tmp".*
	return $status
}

# A source tree of exactly 20,000 files: the smallest of the GNU C library's (package glibc-source, of any suite), in
# their folders. $TREE_TAR: a plain tar whose top folder is "tree".
TREE_FILES=20000

tree_get() {
	TREE_TAR=$CACHE/tree-$TREE_FILES.tar
	[ -f "$TREE_TAR" ] || under_lock tree_make || lack "no source tree"
}

tree_make() {
	local tmp=$TREE_TAR.new n
	[ ! -f "$TREE_TAR" ] || return 0
	apt_lists || return
	printf 'guest: fetching the source tree glibc-source (once)\n' >&2
	rm -rf "$tmp"
	mkdir -p "$tmp/tree" &&
		deb_unpack "$tmp/deb" glibc-source &&
		tar -C "$tmp/tree" --strip-components=1 --no-same-owner -xf "$tmp"/deb/usr/src/glibc/glibc-*.tar.xz || return
	(cd "$tmp/tree" && find . -type f -printf '%s\t%p\n' | LC_ALL=C sort -k1,1n -k2 |
		tail -n +$((TREE_FILES + 1)) | cut -f 2- | tr '\n' '\0' | xargs -0r rm -f)
	n=$(find "$tmp/tree" -type f | wc -l)
	[ "$n" = $TREE_FILES ] || {
		lack "the source tree has $n files; $TREE_FILES were expected"
		return
	}
	tar -C "$tmp" --owner=0 --group=0 --numeric-owner --sort=name -cf "$tmp/tree.tar" tree && mv "$tmp/tree.tar" "$TREE_TAR"
	local status=$?
	rm -rf "$tmp"
	return $status
}

# The programs of PostgreSQL, which is not installed, because that would start a server. $PG: a folder with usr/ as the
# packages have it, and with those of its libraries that this machine lacks.
pg_get() {
	PG=$CACHE/postgresql
	[ -d "$PG" ] || under_lock pg_make || lack "no PostgreSQL"
}

pg_make() {
	local tmp=$PG.new pkg p
	[ ! -d "$PG" ] || return 0
	apt_lists || return
	pkg=$(apt-cache depends --important postgresql | awk '$1 == "Depends:" && $2 ~ /^postgresql-[0-9]+$/ { print $2; exit }')
	printf 'guest: fetching %s (once)\n' "$pkg" >&2
	rm -rf "$tmp"
	mkdir -p "$tmp" || return
	for p in "$pkg" "postgresql-client-${pkg##*-}" libpq5; do
		deb_unpack "$tmp" "$p" || return
	done
	# LLVM is for what only long queries use.
	for p in $(apt-cache depends --recurse --important "$pkg" libpq5 | grep -E '^lib' | grep -vE '^lib(llvm|elogind)' | sort -u); do
		[[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null) == ?i* ]] || [ -z "$(apt-cache madison "$p")" ] ||
			[[ $p == *-perl || $p == *-common ]] || deb_unpack "$tmp" "$p" || return
	done
	rm -rf "$tmp"/usr/share/{doc,locale,man,lintian} "$tmp/etc"
	LD_LIBRARY_PATH=$tmp/usr/lib/x86_64-linux-gnu "$(echo "$tmp"/usr/lib/postgresql/*/bin/postgres)" -V >&2 && mv "$tmp" "$PG"
}
