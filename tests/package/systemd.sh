#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The installed units and AppArmor profile in force: a machine with systemd and a kernel with AppArmor starts, stops and confines the
# daemon; guest/test.sh has what is tried.
#
# usage: tests/package/systemd.sh SUITE DEB
#
# Theory of operation: the machine is QEMU's, with the stock kernel of this machine's suite or the next. Its root file system
# is a folder that mmdebstrap fills and that it reads over 9p; guest/init puts one in memory over it. A unit there runs the
# test, which writes to the second serial port, here a file, and powers the machine off. There are no modules and no udev.
# Needs root.
set -u
# shellcheck source=tests/package/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
suite=${1-} deb=${2-}
[ -f "$deb" ] || die "usage: $0 SUITE DEB"
# shellcheck disable=SC2034 # guests.sh's
CACHE=$TOP/.cache/guest HERE=$TOP/tests/package
# shellcheck source=tests/guest/lib/fetch.sh
. "$TOP/tests/guest/lib/fetch.sh"
# shellcheck source=tests/guest/lib/guests.sh
. "$TOP/tests/guest/lib/guests.sh"
ROOT=$WORK/root

system() {
	local mirror
	mirror=$(apt_mirror) || return
	cp "$deb" "$WORK/culvert.deb" && mmdebstrap --quiet --variant=apt --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' \
		--aptopt='APT::Install-Recommends "false"' --include=systemd-sysv,dbus,apparmor,procps,uidmap \
		--customize-hook="copy-in '$WORK/culvert.deb' /root" \
		--customize-hook='chroot "$1" apt-get -qq install /root/culvert.deb' \
		"$suite" "$ROOT" "deb $mirror $suite main"
}

# The test, and when it is run.
prepare() {
	mkdir "$ROOT/root/test" && cp "$HERE/lib.sh" "$HERE/guest/test.sh" "$ROOT/root/test/" &&
		echo culvert >"$ROOT/etc/hostname" && : >"$ROOT/etc/fstab" && systemd-id128 new >"$ROOT/etc/machine-id" &&
		cat >"$ROOT/etc/systemd/system/test.service" <<-'END' &&
			[Unit]
			After=multi-user.target
			SuccessAction=poweroff-force
			FailureAction=poweroff-force
			[Service]
			Type=exec
			ExecStart=/bin/bash /root/test/test.sh
			StandardOutput=file:/dev/ttyS1
		END
		ln -s /etc/systemd/system/test.service "$ROOT/etc/systemd/system/multi-user.target.wants/" &&
		initrd_make "$KERNEL/modules" "$WORK/initrd"
}

boot() {
	local accel
	qemu_accel
	: >"$WORK/console"
	timeout 900 qemu-system-x86_64 -M pc "${accel[@]}" -smp 1 -m 1024 -nodefaults -no-user-config -no-reboot -display none \
		-kernel "$KERNEL/vmlinuz" -initrd "$WORK/initrd" \
		-append "console=ttyS0 loglevel=4 panic=-1 mitigations=off apparmor=1 security=apparmor $(
			printf ' systemd.mask=%s' serial-getty@ttyS0.service systemd-modules-load.service
		)" \
		-serial "file:$WORK/console" -serial "file:$WORK/said" \
		-virtfs "local,path=$ROOT,security_model=none,readonly=on,mount_tag=root,multidevs=remap" >"$WORK/qemu" 2>&1 </dev/null
	sed -i 's/\r$//' "$WORK/said"
	grep -qE '^[0-9]+ passed, [0-9]+ failed, 0 skipped$' "$WORK/said" || {
		cat "$WORK/qemu" "$WORK/console" "$WORK/said"
		return 1
	}
}

# The next suite's kernel goes with the next suite.
kernel_get "$([ "$suite" != "$(next_suite)" ] || echo next)" || die "there is no kernel"
check "$suite: a system with systemd and AppArmor" system && check "$suite: it has the test" prepare &&
	check "$suite: it runs the test" boot || {
	verdict
	exit
}
# What it counted is ours.
grep -vE '^[0-9]+ passed, ' "$WORK/said" | sed "s/^\(ok  \|FAIL\) /&$suite: /"
read -r p _ f _ < <(tail -n 1 "$WORK/said")
passed=$((passed + p)) failed=$((failed + f))
verdict
