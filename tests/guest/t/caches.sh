# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: what the host changes is seen in the guest as --cache says: at once, in a second, or not
# case never: --cache never
# case auto: --cache auto
# case always: --cache always
# case metadata: --cache metadata

before() {
	echo old >content
	echo old >open
	echo old >size
	touch removed
	mkdir dir
	touch dir/removed
}

host_change() {
	# In place: the inode stays.
	echo new >content
	echo new >open
	echo "new and longer" >size
	rm removed dir/removed
	touch appeared dir/appeared
}

soon() { # seconds command...: it comes to succeed in that time
	local end=$((SECONDS + $1))
	until "${@:2}" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
	done
}

shows() { [ "$(cat "$1")" = "$2" ]; }
long() { [ "$(stat -c %s size)" = 15 ]; }
gone() { ! stat -c '' "$1"; }

guest() {
	# All of it is in the guest's caches, as far as it may be.
	cat content open
	exec 8<open
	want old head -n 1 <&8
	exec 8<open
	stat size removed dir/removed >/dev/null
	fails 'No such file' stat appeared
	ls dir >/dev/null
	host change

	case $CASE in
	never)
		shows content new
		want new cat <&8
		long
		gone removed
		gone dir/removed
		want appeared ls dir
		stat appeared >/dev/null
		;;
	auto)
		soon 3 shows content new
		soon 3 long
		soon 3 gone removed
		soon 3 gone dir/removed
		soon 3 stat appeared
		want appeared ls dir
		;;
	always)
		sleep 1.5 # longer than the timeout that "auto" has
		shows content old
		want old cat <&8
		want 4 stat -c %s size
		stat removed dir/removed >/dev/null
		# What the guest never looked at comes from the host.
		stat dir/appeared >/dev/null
		drop_caches
		shows content new
		long
		gone removed
		want appeared ls dir
		;;
	metadata)
		sleep 1.5
		want 4 stat -c %s size
		stat removed dir/removed >/dev/null
		# Names and attributes are kept, contents are not.
		shows content new
		want new cat <&8
		;;
	esac

	exec 8<&-

	# And the other way at once, in every mode.
	echo 'from the guest' >fromguest
	host look
}

host_look() { want 'from the guest' cat fromguest; }
