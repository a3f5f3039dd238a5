# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The guests: what each needs, its initramfs, its command line.
#
# Theory of operation: a guest is started with $RUN as its folder, which holds the socket of the daemon, the env file
# that its init reads, and two fifos, ctl.in (host to guest) and ctl.out (guest to host). The guest runs in a session of
# its own, because User-Mode Linux leaves helper processes behind when it is killed: session_end ends all of them.
# Sourced; needs $HERE (tests/guest), $CACHE, $WORK, $RUN, $CPU, and fetch.sh.

GUESTS=(uml qemu uml-next qemu-next qemu-dax qemu-next-dax stock-dax)

# In the order in which they load; one that a kernel has built in, or not at all, is left out.
UML_MODULES=(fuse virtiofs overlay)
QEMU_MODULES=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci
	fuse virtiofs netfs fscache 9pnet 9pnet_virtio 9p overlay)

modules_copy() { # from to name...
	local from=$1 to=$2 m f
	shift 2
	for m; do
		f=$(find "$from" -name "$m.ko" -o -name "$m.ko.xz" | head -n 1)
		case $f in
		*.xz) xz -dc "$f" >"$to/$m.ko" || return ;;
		?*) cp "$f" "$to/$m.ko" || return ;;
		esac
	done
}

# initramfs: busybox, our init, the modules of $1 (a folder).
initrd_make() { # modules-dir file
	local dir m
	dir=$(mktemp -d "$WORK/initrd.XXXXXX") || return
	mkdir -p "$dir"/{bin,dev,proc,sys,root,modules} &&
		cp "$(command -v busybox)" "$dir/bin/busybox" && cp "$HERE/guest/init" "$dir/init" && chmod 755 "$dir/init" || return
	for m in "${QEMU_MODULES[@]}"; do
		[ ! -f "$1/$m.ko" ] || { cp "$1/$m.ko" "$dir/modules/" && echo "$m.ko" >>"$dir/modules/list"; } || return
	done
	# Several runs may be at this at once; the name appears when the file is whole.
	(cd "$dir" && find . | cpio --quiet -o -H newc) >"$dir.cpio" && mv "$dir.cpio" "$2"
	local status=$?
	rm -rf "$dir"
	return $status
}

# Whether this machine can run the guest at all; the reason on standard output when it cannot.
guest_possible() { # guest
	[ "$(uname -m)" = x86_64 ] || {
		echo "guests are x86_64, and this machine is $(uname -m)"
		return 1
	}
}

# Make ready what the guest boots from: sets INITRD, and KERNEL or UML.
guest_prepare() { # guest
	local modules next
	INITRD=$WORK/initrd-$1
	case $1 in
	uml)
		guest_needs linux.uml user-mode-linux || return
		uml_xstate_get || return
		UML=(linux.uml)
		modules=$RUN/modules
		mkdir -p "$modules" && modules_copy /usr/lib/uml/modules "$modules" "${UML_MODULES[@]}" || return
		;;
	uml-next)
		uml_next_get && uml_xstate_get || return
		UML=(env -C "$UML_NEXT" LD_LIBRARY_PATH=. ./linux.uml)
		modules=$UML_NEXT/modules
		;;
	qemu | qemu-next | *-dax)
		next=${1#qemu}
		next=${next%%*-dax}
		guest_needs qemu-system-x86_64 qemu-system-x86 && kernel_get "$next" || return
		case $1 in
		qemu-dax) qemu_dax_get 7.2 || return ;;
		qemu-next-dax) qemu_dax_get new || return ;;
		stock-dax) qemu_stock_get || return ;;
		*) QEMU=(qemu-system-x86_64) ;;
		esac
		modules=$KERNEL/modules
		;;
	esac
	guest_needs busybox busybox-static && guest_needs cpio cpio || return
	[ -f "$INITRD" ] || initrd_make "$modules" "$INITRD" || lack "cannot make the initramfs in $WORK"
}

# What User-Mode Linux is started with: lib/uml_xstate.c says why.
UML_XSTATE=$CACHE/uml_xstate.so

uml_xstate_get() {
	[ "$UML_XSTATE" -nt "$HERE/lib/uml_xstate.c" ] || under_lock uml_xstate_make || lack "cannot compile uml_xstate.c"
}

uml_xstate_make() {
	[ ! "$UML_XSTATE" -nt "$HERE/lib/uml_xstate.c" ] || return 0
	gcc -O2 -Wall -Wextra -Werror -shared -fPIC -D_GNU_SOURCE -o "$UML_XSTATE.new" "$HERE/lib/uml_xstate.c" &&
		mv "$UML_XSTATE.new" "$UML_XSTATE"
}

guest_needs() { # command package
	command -v "$1" >/dev/null || lack "the package $2 is not installed; run scripts/deps guest"
}

# Sets accel: what QEMU runs the guest's code with.
qemu_accel() {
	accel=(-accel "tcg,thread=multi,tb-size=256" -cpu max)
	if grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo && [ -w /dev/kvm ]; then
		accel=(-accel kvm -cpu host)
	fi
}

# Replace this process by the guest. Standard input and output are its console.
guest_exec() { # guest socket tag queues boots window
	local mem=768 tmp=()
	case $1 in
	uml | uml-next)
		# The guest's memory is a file in /dev/shm, which is small in some containers.
		[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt $((mem + 64)) ] || tmp=("TMPDIR=$RUN")
		# Without address randomisation the guest's memory starts close behind the program.
		exec setsid setarch -R taskset -c "$CPU" env "LD_PRELOAD=$UML_XSTATE" "${tmp[@]}" "${UML[@]}" "mem=${mem}M" "initrd=$INITRD" \
			"virtio_uml.device=$2:26" con=null con0=fd:0,fd:1 ssl=null con1=fd:5,fd:6 rdinit=/init \
			loglevel=4 panic=-1 "kind=uml" ctl=tty1 "culvert=$RUN" \
			5<"$RUN/ctl.in" 6>"$RUN/ctl.out"
		;;
	qemu | qemu-next | *-dax)
		local accel device=vhost-user-fs-pci,id=fs,chardev=fs,queue-size=1024
		qemu_accel
		[ "$4" = 1 ] || device+=,num-request-queues=$4
		device+=,tag=$3
		case $1 in
		qemu-dax | qemu-next-dax) device+=,cache-size=$6 ;;
		# The device that QEMU has for trying things with: what it is, it has to be told; the rest it asks the daemon.
		stock-dax) device=vhost-user-test-device-pci,chardev=fs,virtio-id=26,num_vqs=$(($4 + 1)),vq_size=128,config_size=44 ;;
		esac
		[ "$5" != 1 ] || accel+=(-no-reboot)
		# As many CPUs as queues: emulated CPUs that wait for each other cost three times the work of one.
		exec setsid "${QEMU[@]}" -M pc "${accel[@]}" -smp "$4" -m "$mem" \
			-object "memory-backend-memfd,id=mem,size=${mem}M,share=on" -numa node,memdev=mem \
			-nodefaults -no-user-config -display none \
			-kernel "$KERNEL/vmlinuz" -initrd "$INITRD" \
			-append "console=ttyS0 loglevel=4 panic=-1 mitigations=off norandmaps kind=qemu ctl=ttyS1 culvert=$RUN" \
			-chardev stdio,id=con,signal=off -serial chardev:con -chardev "pipe,id=ctl,path=$RUN/ctl" -serial chardev:ctl \
			-chardev "pipe,id=mon,path=$RUN/mon" -mon chardev=mon,mode=readline \
			-chardev "socket,id=fs,path=$2" -device "$device" \
			-virtfs local,path=/,security_model=none,readonly=on,mount_tag=host,multidevs=remap
		;;
	esac
}

# The processes of a session, but those that are dead.
session_pids() { # session
	local p s state IFS=$' \t\n' # a trap may have come in the middle of "IFS= read"
	for p in /proc/[0-9]*; do
		read -r s 2>/dev/null <"$p/stat" || continue
		# "pid (name) state parent group session …", and a name may hold anything.
		read -r state _ _ s _ <<<"${s##*) }"
		[ "$s" != "$1" ] || [ "$state" = Z ] || echo "${p#/proc/}"
	done
}

# Kill a session; again, if it made new processes meanwhile.
session_end() { # session
	local pids i
	for ((i = 0; i < 100; i++)); do
		mapfile -t pids < <(session_pids "$1")
		[ ${#pids[@]} -gt 0 ] || return 0
		kill -KILL "${pids[@]}" 2>/dev/null
	done
}
