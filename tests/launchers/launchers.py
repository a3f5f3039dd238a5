# SPDX-License-Identifier: Apache-2.0
"""The daemon as its launchers start it, use it and end it.

usage: launchers.py VIRTIOFSD SESSION ROW [user]      run a row, as root or as a plain user
       launchers.py --list [ROW...]                   the rows, with "user" behind those for plain users; these
                                                      have to be all

Theory of operation: a row of ROWS says what a launcher does: its command line word by word, where the
listening socket comes from, standard streams, environment, directory, umask, namespaces, capabilities; what it
waits for until it lets the front-end connect; and how it ends the daemon. The row is played once for each of
these ends. SESSION is the front-end with a guest, which works in the share. Afterwards nothing may be left: no
process, no socket or pid file that the launcher does not remove itself, no mount.

We are the reaper of all that we start, so a daemon that was put in the background is waited for, too. Nothing
is waited for by time: a condition that does not come true within WAIT seconds is a failure.

Exit status: 0, 1, or 77 where this machine cannot play the row.
"""
import ctypes
import dataclasses
import fcntl
import json
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

WAIT = 30
USER = 4321  # the plain user
READY = b"Waiting for vhost-user socket connection"
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE = {"mnt": 0x20000, "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000}
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 0x80000, 2
PR_SET_CHILD_SUBREAPER, PR_CAPBSET_DROP = 36, 24
CAPS = ["chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
        "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
        "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
        "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"]
PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
WITHOUT = 77


class Failed(Exception):
    pass


class Unplayable(Exception):
    pass


def check(good, what):
    if not good:
        raise Failed(what)


def until(condition, what):
    """Wait for a condition; returns what it returned."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.01)
    raise Failed(f"{what} does not come true within {WAIT} s")


def libc(name, *args):
    if getattr(LIBC, name)(*args) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


@dataclasses.dataclass
class Row:
    """What a launcher does.

    argv:    with {share}, {sock}, {fd} and {nofile} filled in; the last is what is allowed, 1048576 at most.
    fd:      the number of the listening socket in the daemon; None: it makes the socket itself.
    queued:  the front-end connects before the daemon is started.
    stdio:   where 0, 1 and 2 go: null; pipe: stderr to us; file: 1 and 2 to a log; journal: 1 and 2 to a
             stream socket that JOURNAL_STREAM names; full: stderr is a pipe that nobody reads.
    cwd:     share, or a path.
    spaces:  namespaces that are new to the daemon.
    ids:     with a user namespace: first id outside; 0 inside is the daemon's.
    caps:    all that the daemon may have; None: what there is.
    detach:  the launcher forks twice, and the daemon is nobody's child and leads a session.
    cgroup:  the daemon is put in a group of its own.
    ready:   line on stderr, socket, pid (file), none: what the launcher waits for.
    ends:    hangup; signals; group: SIGTERM for the group of processes; epipe: stderr's reader goes while there
             is load, then hangup.
    share:   mode, owner of the shared directory.
    path:    name of the shared directory.
    guest:   uid and gid of who works in the guest.
    sees:    whose the new file is, to the guest; host: whose it is on the host; None: the daemon's user's.
    who:     uid, gid and groups of the front-end; None: as the daemon.
    before:  something to do before it all.
    """
    name: str
    argv: str
    users: tuple = ("root",)
    fd: int | None = None
    queued: bool = False
    stdio: str = "null"
    env: dict = dataclasses.field(default_factory=lambda: dict(PATH))
    cwd: str = "/"
    umask: int = 0o022
    spaces: tuple = ()
    ids: int = 0
    caps: tuple | None = None
    detach: bool = False
    cgroup: bool = False
    ready: str = "none"
    ends: tuple = ("hangup",)
    share: tuple = (0o755, 0)
    path: str = "share"
    guest: tuple = (0, 0)
    sees: tuple | None = None
    host: tuple | None = None
    who: tuple | None = None
    tag: str = ""
    readonly: bool = False
    whole: bool = False
    mode: int = 0o700
    before: object = None


def capabilities(play):
    """What management asks the binary before it decides on a command line."""
    run = subprocess.run([play.binary, "--print-capabilities"], env={}, stdin=subprocess.DEVNULL, capture_output=True,
                         check=True, timeout=WAIT)
    caps = json.loads(run.stdout)
    check(caps["type"] == "fs" and "separate-options" in caps["features"], f"--print-capabilities: {caps}")
    check("migrate-precopy" not in caps["features"], "migration is claimed")
    check(not run.stderr, f"--print-capabilities: {run.stderr}")


def version(play):
    run = subprocess.run([play.binary, "--version"], env={}, stdin=subprocess.DEVNULL, capture_output=True, check=True,
                         timeout=WAIT, preexec_fn=play.become)
    check(run.stdout.startswith(b"virtiofsd ") and not run.stderr, f"--version: {run.stdout} {run.stderr}")


def system_log(play):
    """Somebody listens at /dev/log, as a system's own log does."""
    dev = play.dir / "dev"
    dev.mkdir()
    (dev / "null").touch()
    play.bind("/dev/null", dev / "null")
    play.syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    play.syslog.bind(str(dev / "log"))
    play.bind(dev, "/dev")


def kvm_group(play):
    """The group kvm exists, for us alone."""
    play.replace("/etc/group", "root:x:0:\nkvm:x:4242:\n")


def sub_ids(play):
    """The plain user has a name, and other users and groups to give away."""
    play.replace("/etc/passwd", f"root:x:0:0::/root:/bin/sh\nplain:x:{USER}:{USER}::/:/bin/sh\n")
    play.replace("/etc/subuid", "plain:300000:65536\n")
    play.replace("/etc/subgid", "plain:300000:65536\n")


KATA = "run/kata-containers/shared/sandboxes/0123abcd"
SQUASH = "squash-guest:0:107:4294967295"

ROWS = [
    Row("kata-go", "--syslog --cache=auto --shared-dir={share} --fd=3 --thread-pool-size=1 --announce-submounts --xattr",
        fd=3, queued=True, spaces=("net",), path=KATA + "/shared", share=(0o700, 0), before=system_log,
        ends=("SIGKILL", "hangup")),
    Row("kata-rs", "--socket-path {sock} --shared-dir {share} --cache auto --thread-pool-size=1 -o announce_submounts",
        stdio="pipe", ready="line", spaces=("net",), path=KATA + "/ro", ends=("epipe", "SIGKILL", "SIGTERM")),
    Row("kata-rs-loud", "--socket-path {sock} --shared-dir {share} --cache auto --thread-pool-size=1 -o announce_submounts",
        env=PATH | {"RUST_LOG": "trace"}, stdio="pipe", ready="line", ends=("epipe",)),
    Row("libvirt", "--fd={fd} --shared-dir {share} --cache always --sandbox namespace --xattr --thread-pool-size=4 "
        "--rlimit-nofile=4096 --log-level debug",
        fd=23, queued=True, stdio="file", env=PATH | {"LC_ALL": "C"}, detach=True, cgroup=True, before=capabilities,
        ends=("group", "hangup", "SIGTERM")),
    Row("libvirt-idmap", "--fd={fd} --shared-dir {share} --uid-map=:0:100000:65536: --gid-map=:0:100000:65536:",
        fd=23, queued=True, stdio="file", env=PATH | {"LC_ALL": "C"}, detach=True, share=(0o755, 100000),
        host=(100000, 100000), ends=("group", "hangup")),
    Row("libvirt-session", f"--fd={{fd}} --shared-dir {{share}} --uid-map=:0:{USER}:1: --uid-map=:1:300000:65535: "
        f"--gid-map=:0:{USER}:1: --gid-map=:1:300000:65535:", users=("user",), before=sub_ids,
        fd=23, queued=True, stdio="file", env=PATH | {"LC_ALL": "C"}, detach=True, ends=("group", "hangup")),
    Row("libvirt-old", "--fd={fd} -o source={share2},cache=always,sandbox=chroot,xattr,no_flock,posix_lock -d",
        fd=23, queued=True, stdio="file", env=PATH | {"LC_ALL": "C"}, detach=True, path="a,share,,of,words",
        ends=("group", "hangup")),
    Row("podman", "--sandbox none --socket-path {sock} --shared-dir . --seccomp=none", users=("root", "user"),
        env=PATH | {"RUST_LOG": "info,virtiofsd=debug"}, cwd="share", share=(0o777, 0), guest=(USER, USER),
        host=(USER, USER), sees=(USER, USER), stdio="pipe", ready="socket", umask=0o777,
        ends=("hangup", "epipe", "SIGTERM", "SIGKILL")),
    Row("incus", "--fd=3 --cache=metadata --shared-dir={share} --translate-uid=map:0:100000:65536 "
        "--translate-uid=forbid-guest:65536:0 --translate-gid=map:0:100000:65536 --translate-gid=forbid-guest:65536:0",
        fd=3, queued=True, stdio="file", before=capabilities, share=(0o777, 0), guest=(5, 6), sees=(5, 6),
        host=(100005, 100006), ends=("SIGKILL", "hangup")),
    Row("incus-acl", "--fd=3 --cache=never --shared-dir={share} --posix-acl=auto", fd=3, queued=True, stdio="file",
        before=capabilities, ends=("SIGKILL",)),
    Row("cloud-hypervisor", "--shared-dir {share} --socket-path {sock} --cache never --tag myfs", users=("root", "user"),
        stdio="pipe", ready="socket", tag="myfs", umask=0o077, share=(0o777, 0), guest=(USER, USER), host=(USER, USER),
        sees=(USER, USER), ends=("hangup", "SIGTERM")),
    Row("microvm.nix", "--socket-path={sock} --socket-group=kvm --shared-dir={share} --rlimit-nofile {nofile} "
        "--thread-pool-size 2 --posix-acl --xattr --cache=auto --inode-file-handles=prefer --tag=store",
        stdio="pipe", ready="socket", before=kvm_group, who=(USER, 4242), mode=0o770, tag="store", umask=0o777,
        share=(0o755, 0), ends=("hangup", "SIGTERM")),
    Row("microvm.nix-ro", "--socket-path={sock} --socket-group=kvm --shared-dir={share} --rlimit-nofile {nofile} "
        "--thread-pool-size 2 --posix-acl --xattr --cache=auto --inode-file-handles=prefer --tag=store --readonly",
        stdio="pipe", ready="socket", before=kvm_group, who=(USER, 4242), mode=0o770, tag="store", readonly=True,
        share=(0o755, 0)),
    Row("proxmox", "--fd={fd} --shared-dir={share} --xattr --posix-acl --announce-submounts --allow-direct-io "
        "--cache=auto --syslog", fd=11, queued=True, detach=True, before=system_log, ends=("hangup", "SIGTERM")),
    Row("vmspawn", "--shared-dir {share} --xattr --fd 3 --no-announce-submounts --translate-uid map:0:100000:65536",
        fd=3, queued=True, stdio="journal", env=PATH | {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "virtiofs"},
        share=(0o755, 100000), sees=(0, 0), host=(100000, 0), ends=("SIGTERM", "hangup")),
    Row("mkosi", "--shared-dir {share} --xattr --no-announce-submounts --sandbox=chroot --inode-file-handles=prefer "
        "--fd 3", fd=3, stdio="pipe", ready="line", spaces=("user", "mnt"), ids=100000, share=(0o755, 100000),
        host=(100000, 100000), ends=("hangup", "SIGTERM", "SIGKILL")),
    Row("mkosi-label", "--shared-dir {share} --xattr --no-announce-submounts --sandbox=chroot "
        "--inode-file-handles=never --security-label --fd 3", fd=3, queued=True, ends=("SIGTERM",)),
    Row("kubevirt", "--socket-path {sock} --shared-dir {share} --cache auto --sandbox chroot "
        "--modcaps=+dac_read_search:-mknod --inode-file-handles=prefer --migration-mode=file-handles "
        f"--migration-on-error=guest-error --translate-uid={SQUASH} --translate-gid={SQUASH} --xattr",
        env={}, stdio="pipe", ready="line", spaces=("mnt", "net", "pid"), share=(0o755, 107), host=(107, 107),
        sees=(107, 107), caps=("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid",
                               "setuid", "setfcap", "sys_chroot"),
        ends=("hangup", "SIGTERM", "SIGKILL")),
    Row("virtme-ng", "--syslog --no-announce-submounts --socket-path {sock} --shared-dir / --sandbox none",
        users=("root", "user"), before=version, ready="pid", whole=True, ends=("hangup", "SIGTERM")),
    Row("full-stderr", "--socket-path {sock} --shared-dir {share} --log-level trace", stdio="full", ready="socket",
        ends=("load", "SIGTERM")),
]


class Play:
    """One row, once: the surroundings, the daemon, the front-end, and the end."""

    def __init__(self, row, binary, session, user, end):
        self.row, self.user, self.end = row, user == "user", end
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="culvert-launch-"))
        self.dir.chmod(0o755)
        (self.dir / "bin").mkdir()
        # Where a plain user gets to it.
        self.binary = str(shutil.copy(binary, self.dir / "bin/virtiofsd"))
        self.session_path = str(shutil.copy(session, self.dir / "bin/session"))
        self.run = self.dir / "sockets"
        self.run.mkdir()
        self.sock = self.run / "vfs.sock"
        self.share = self.dir / row.path
        self.listener = self.syslog = self.pid = self.guest = self.cgroup = None
        self.out = self.log = b""
        self.reader = None
        self.family = set()
        self.dead = {}
        self.bound = []

    # ---- surroundings ----

    def become(self):
        """In a child: be the plain user."""
        if self.user:
            os.setgroups([])
            os.setgid(USER)
            os.setuid(USER)

    def bind(self, what, where):
        """In our mount namespace."""
        if not self.bound:
            libc("unshare", CLONE["mnt"])
            libc("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        libc("mount", str(what).encode(), str(where).encode(), None, MS_BIND | MS_REC, None)
        self.bound.append(where)

    def replace(self, path, text):
        """Another text is in this file."""
        if not os.path.exists(path):
            raise Unplayable(f"there is no {path}")
        copy = self.dir / f"file{len(self.bound)}"
        copy.write_text(text)
        self.bind(copy, path)

    def prepare(self):
        mode, owner = self.row.share
        self.share.mkdir(parents=True)
        (self.share / "seed").write_text("seed\n")
        if self.user:
            owner = USER
        if os.geteuid() == 0:
            os.chown(self.share, owner, owner)
            os.chown(self.run, USER if self.user else 0, -1)
        self.share.chmod(mode)
        (self.share / "seed").chmod(0o644)
        if self.row.before:
            self.row.before(self)
        if self.row.fd is not None:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(self.sock))
            self.sock.chmod(0o600)
            if self.user:
                os.chown(self.sock, USER, USER)
            self.listener.listen(1)
        self.mounts = self.mounts_here()

    def mounts_here(self):
        return [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(self.dir) in line]

    def make_cgroup(self):
        for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"):
            group = pathlib.Path(top) / f"culvert-{os.getpid()}"
            try:
                if not os.path.exists(f"{top}/cgroup.procs"):
                    continue
                group.mkdir()
                self.cgroup = group
                return
            except OSError:
                continue
        print("without a group of processes: none can be made here")

    # ---- the daemon ----

    def words(self):
        nofile = 1048576
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard < nofile and not self.may("sys_resource"):
            nofile = hard
        return [word.format(share=self.share, share2=str(self.share).replace(",", ",,"), sock=self.sock, fd=self.row.fd,
                            nofile=nofile) for word in self.row.argv.split()]

    @staticmethod
    def may(cap):
        for line in open("/proc/self/status", encoding="ascii"):
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16) >> CAPS.index(cap) & 1
        return 0

    def streams(self):
        """Descriptors for 0, 1 and 2; those that are ours to close after the start."""
        null = os.open("/dev/null", os.O_RDWR)
        kind = self.row.stdio
        if kind == "null":
            return [null, null, null]
        if kind == "file":
            log = os.open(self.dir / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            return [null, log, log]
        if kind == "journal":
            ours, theirs = socket.socketpair()
            self.reader = ours.detach()
            return [null, theirs.fileno(), theirs.detach()]
        self.reader, end = os.pipe()
        if kind == "full":
            os.set_blocking(end, False)
            try:
                while True:
                    os.write(end, b"\n" * 4096)
            except BlockingIOError:
                os.set_blocking(end, True)
        return [null, null, end]

    def environment(self, err):
        env = dict(self.row.env)
        if self.row.stdio == "journal":
            st = os.fstat(err)
            env["JOURNAL_STREAM"] = f"{st.st_dev}:{st.st_ino}"
        return env

    def child(self, words, env, streams, map_pipe):
        """Between fork and exec; a plain user may not get to Python's own files any more."""
        row = self.row
        if row.detach:
            os.setsid()
        if self.cgroup:
            (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))
        spaces = sum(CLONE[name] for name in row.spaces)
        if spaces:
            libc("unshare", spaces)
        if "user" in row.spaces:
            os.write(map_pipe[0], b"u")
            os.read(map_pipe[1], 1)
            os.setgroups([])
            os.setgid(0)
            os.setuid(0)
        if "mnt" in row.spaces:
            libc("mount", None, b"/", None, MS_REC | MS_SLAVE, None)
        for cap in CAPS if row.caps is not None else ():
            if cap not in row.caps:
                libc("prctl", PR_CAPBSET_DROP, CAPS.index(cap), 0, 0, 0)
        os.chdir(self.share if row.cwd == "share" else row.cwd)
        os.umask(row.umask)
        self.become()
        # The socket's number may be that of something else here.
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in streams]
        if row.fd is not None:
            os.dup2(self.listener.fileno(), row.fd)
            os.set_inheritable(row.fd, True)
        for i, fd in enumerate(moved):
            os.dup2(fd, i)
        os.closerange(3, row.fd or 3)
        os.closerange((row.fd or 2) + 1, 4096)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if "LISTEN_FDS" in env:
            env["LISTEN_PID"] = str(os.getpid())
        os.execve(self.binary, ["virtiofsd"] + words, env)

    def grandchild(self, *args):
        """One that tells on stderr when it fails."""
        try:
            self.child(*args)
        except BaseException as error:  # pylint: disable=broad-except
            os.write(2, f"{error}\n".encode())
        os._exit(126)

    def start(self):
        if self.row.cgroup:
            self.make_cgroup()
        streams = self.streams()
        words, env = self.words(), self.environment(streams[2])
        told, tell = os.pipe()
        asks, asked = os.pipe()
        answer, answers = os.pipe()
        pid = os.fork()
        if pid == 0:
            if self.row.detach or "pid" in self.row.spaces:
                # Namespaces of processes are for children.
                if "pid" in self.row.spaces:
                    libc("unshare", CLONE["pid"])
                    self.row = dataclasses.replace(self.row,
                                                   spaces=tuple(s for s in self.row.spaces if s != "pid"))
                pid = os.fork()
                if pid:
                    os.write(tell, str(pid).encode())
                    os._exit(0)
            else:
                os.write(tell, str(os.getpid()).encode())
            self.grandchild(words, env, streams, (asked, answer))
        self.pid = int(os.read(told, 32))
        if "user" in self.row.spaces:
            os.read(asks, 1)
            for kind in ("uid", "gid"):
                pathlib.Path(f"/proc/{self.pid}/{kind}_map").write_text(f"0 {self.row.ids} 65536\n")
            os.write(answers, b"g")
        for fd in {told, tell, asks, asked, answer, answers, *streams}:
            os.close(fd)

    def reap(self):
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                self.dead[pid] = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            pass

    def alive(self, pid):
        self.reap()
        return pid not in self.dead and os.path.exists(f"/proc/{pid}")

    def find_family(self):
        """The daemon and all that it started."""
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                text = pathlib.Path(f"/proc/{pid}/stat").read_text()
            except OSError:  # it has ended meanwhile
                continue
            parents[int(pid)] = int(text.rpartition(")")[2].split()[1])
        new = {self.pid}
        while new:
            self.family |= new
            new = {pid for pid, parent in parents.items() if parent in self.family} - self.family
        return self.family

    # ---- what it says ----

    def read_more(self, seconds):
        """Take what there is on stderr; False: it is closed."""
        if not select.select([self.reader], [], [], seconds)[0]:
            return True
        got = os.read(self.reader, 65536)
        self.log += got
        return bool(got)

    def said(self):
        if self.row.stdio == "file":
            log = self.dir / "log"
            return log.read_bytes() if log.exists() else b""
        if self.row.stdio == "full":
            return b""
        if self.reader is not None:
            while select.select([self.reader], [], [], 0)[0] and self.read_more(0):
                pass
        return self.log

    def wait_ready(self):
        ready = {
            "line": lambda: READY in self.log or not self.read_more(0.1),
            "socket": self.sock.exists,
            "pid": pathlib.Path(f"{self.sock}.pid").exists,
            "none": lambda: True,
        }[self.row.ready]
        until(lambda: ready() or not self.alive(self.pid), f"ready: {self.row.ready}")
        check(self.alive(self.pid), f"it ends before it is ready: {self.dead.get(self.pid)}")
        if self.row.ready == "line":
            check(READY in self.log, "stderr ends before it is ready")
        if self.row.ready != "none":
            # A socket is there a moment before somebody listens.
            st = until(lambda: self.sock.exists() and self.sock.stat(), "the socket")
            if self.row.fd is None and self.row.ready == "line":
                check(st.st_mode & 0o777 == self.row.mode, f"the socket's mode is {st.st_mode & 0o777:o}")

    # ---- the front-end ----

    def open_guest(self):
        where = str(self.share)[1:] if self.row.whole else ""
        uid, gid = self.row.guest

        def preexec():
            if self.row.who:
                os.setgroups([self.row.who[1]])
                os.setgid(self.row.who[0])
                os.setuid(self.row.who[0])
            else:
                self.become()

        self.guest = subprocess.Popen([self.session_path, str(self.sock), where, str(uid), str(gid)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=preexec, bufsize=0)

    def tell(self, line):
        self.guest.stdin.write(line.encode() + b"\n")

    def answer(self, what):
        line = self.guest.stdout.readline().decode().strip()
        check(line == "ok" or line.startswith("ok "), f"{what}: {line or 'the front-end has ended'}")
        return line[3:]

    def ask(self, line):
        self.tell(line)
        return self.answer(line)

    def connect(self):
        """As a machine does that takes its time: it may try again until somebody listens."""
        until(self.somebody_listens, "somebody listens")
        tag = self.ask("up")
        check(tag == self.row.tag, f"the tag is '{tag}'")

    def somebody_listens(self):
        if self.row.fd is not None or self.row.ready == "line":
            return True
        for line in open("/proc/net/unix", encoding="utf-8").read().splitlines():
            fields = line.split()
            if fields[-1] == str(self.sock) and int(fields[3], 16) & 0x10000:  # SO_ACCEPTCON
                return True
        return False

    def work(self):
        if self.row.readonly:
            self.ask("refused")
            check(not list(self.share.glob("work*")), "a file was made")
            return
        sees = tuple(int(n) for n in self.ask("work done").split())
        st = (self.share / "done").stat()
        check(st.st_size == 100000, f"the file has {st.st_size} bytes on the host")
        # What root makes in the guest is a plain user's, if the daemon is his.
        plain = (USER, USER) if self.user else (0, 0)
        host, seen = self.row.host or plain, self.row.sees or ((0, 0) if "--uid-map" in self.row.argv else plain)
        check((st.st_uid, st.st_gid) == host, f"the file is {st.st_uid}:{st.st_gid}'s on the host")
        check(sees == seen, f"the file is {sees}'s to the guest")

    def look(self):
        """While it serves."""
        check(self.alive(self.pid), "the daemon that was started has ended")
        for pid in self.find_family():
            comm = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
            check(comm == "virtiofsd", f"a process is called {comm}")
        if self.cgroup:
            pids = {int(pid) for pid in (self.cgroup / "cgroup.procs").read_text().split()}
            check(pids == self.family, f"in the group: {pids}, of the daemon: {self.family}")
        if self.row.fd is None:
            second = socket.socket(socket.AF_UNIX)
            try:
                second.connect(str(self.sock))
                raise Failed("a second front-end can connect")
            except ConnectionRefusedError:
                second.close()
            said = pathlib.Path(f"{self.sock}.pid").read_text()
            if "pid" not in self.row.spaces:
                check(said == f"{self.pid}\n", f"the pid file says {said}, not {self.pid}")

    # ---- the end ----

    def stop(self):
        """Ends it in the way of this play. The exit status that it must have."""
        end = self.end
        if end == "epipe":
            self.ask("load")
            self.said()
            os.close(self.reader)
            self.reader = None
            self.ask("work closed")
            self.ask("load")
            self.ask("work closed2")
        if end == "load":
            self.ask("load")
            self.ask("work full")
        if end in ("hangup", "epipe", "load"):
            self.guest.stdin.close()
            self.guest.wait(WAIT)
            return 0
        if end == "group":
            os.killpg(self.pid, signal.SIGTERM)
        else:
            os.kill(self.pid, signal.Signals[end])
        self.ask("ended")
        self.guest.stdin.close()
        self.guest.wait(WAIT)
        return -signal.SIGKILL if end == "SIGKILL" else 0

    def all_gone(self, status):
        for pid in self.family:
            until(lambda pid=pid: not self.alive(pid), f"the end of process {pid}")
        got = self.dead.get(self.pid)
        # A signal that a whole group gets may reach the process inside first.
        check(got == status, f"exit status {got}, not {status}")
        if self.row.fd is not None:
            check(self.sock.exists(), "the launcher's socket was removed")
            self.sock.unlink()
        elif self.end == "SIGKILL":
            # The launcher's to remove; or another daemon's, in the next play.
            check(self.sock.exists(), "no stale socket to test with")
        left = sorted(p.name for p in self.run.iterdir()) if self.end != "SIGKILL" or self.row.fd is not None else []
        check(not left, f"left behind: {left}")
        check(self.mounts_here() == self.mounts, "a mount is left behind")
        if self.cgroup:
            check(not (self.cgroup / "cgroup.procs").read_text(), "the group is not empty")

    def check_log(self):
        text = self.said()
        if self.syslog:
            self.check_syslog()
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise Failed(f"the log is not UTF-8: {error}") from error
        stdio = self.row.stdio
        want = {"null": 0, "full": 0}.get(stdio, 0 if "--syslog" in self.row.argv else 1)
        check(text.count(READY) == want, f"'{READY.decode()}' is said {text.count(READY)} times")
        check(b"ERROR" not in text and b"\n<3>" not in text, "it tells of an error")
        debug = b" DEBUG " in text
        wants = "debug" in self.row.argv or " -d" in self.row.argv or "RUST_LOG" in self.row.env
        check(not text or debug == wants, "the log's level is not what was asked for")
        if stdio == "journal":
            for line in text.splitlines():
                check(line[:1] == b"<" and line[2:3] == b">" and line[1:2] in b"34567" and b"Z " not in line[:30],
                      f"not a line for the journal: {line}")

    def check_syslog(self):
        """A datagram a line: priority, time, name and number of the process that was started."""
        self.syslog.setblocking(False)
        lines = []
        try:
            while True:
                lines.append(self.syslog.recv(2048).decode())
        except BlockingIOError:
            pass
        for line in lines:
            check(re.match(r"<\d+>\w{3} [ \d]\d \d\d:\d\d:\d\d virtiofsd\[%d\]: [^\n]+$" % self.pid, line),
                  f"not a line for the system log: {line}")
        ready = [line for line in lines if READY.decode() in line]
        check(len(ready) == 1, f"the system log has {lines}")
        if self.end != "SIGKILL":
            check("ending: " in lines[-1], f"the system log has not heard of the end: {lines}")

    def again(self):
        """After SIGKILL another one takes the path over."""
        play = Play(dataclasses.replace(self.row, before=None), self.binary, self.session_path,
                    "user" if self.user else "root", "hangup")
        play.run, play.sock, play.mounts = self.run, self.sock, self.mounts
        shutil.rmtree(play.dir)
        play.dir, play.share, play.binary, play.session_path = self.dir, self.share, self.binary, self.session_path
        (self.share / "done").unlink()
        play.perform(prepare=False)

    def perform(self, prepare=True):
        try:
            if prepare:
                self.prepare()
            if self.row.queued:
                self.open_guest()
                self.tell("up")
                until(self.client_waits, "the front-end connects")
            self.start()
            self.wait_ready()
            if self.row.queued:
                check(self.answer("up") == self.row.tag, "the tag")
            else:
                self.open_guest()
                self.connect()
            self.work()
            self.look()
            self.all_gone(self.stop())
            self.check_log()
            if self.end == "SIGKILL" and self.row.fd is None and prepare:
                self.again()
        except Failed as error:
            text = self.said().decode(errors="replace") if self.row.stdio != "null" else ""
            raise Failed(f"{self.row.name}, {self.end}: {error}\n{text[-4000:]}") from error
        finally:
            self.clean(prepare)

    def client_waits(self):
        """The front-end stands in the queue of our listening socket."""
        return select.select([self.listener], [], [], 0)[0]

    def clean(self, mine):
        if self.guest and self.guest.poll() is None:
            self.guest.kill()
            self.guest.wait()
        for pid in self.find_family() if self.pid else ():
            if self.alive(pid):
                os.kill(pid, signal.SIGKILL)
        for fd in (self.reader, self.listener and self.listener.detach(), self.syslog and self.syslog.detach()):
            if fd is not None:
                os.close(fd)
        self.reader = None
        if self.cgroup:
            until(lambda: not (self.cgroup / "cgroup.procs").read_text(), "the group becomes empty")
            self.cgroup.rmdir()
        for path in reversed(self.bound):
            libc("umount2", str(path).encode(), MNT_DETACH)
        if mine:
            shutil.rmtree(self.dir)


def main(args):
    if args[:1] == ["--list"]:
        rows = [row.name + (" user" if user == "user" else "") for row in ROWS for user in row.users]
        print("\n".join(rows))
        return 0 if args[1:] in ([], rows) else 1
    if len(args) not in (3, 4):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    binary, session, name = args[:3]
    user = args[3] if len(args) == 4 else "root"
    row = next((row for row in ROWS if row.name == name and user in row.users), None)
    if not row:
        print(f"there is no row {name} for {user}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("skipped: not root")
        return WITHOUT
    libc("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        for end in row.ends:
            Play(row, binary, session, user, end).perform()
    except Failed as error:
        print(f"FAIL: {error}")
        return 1
    except Unplayable as error:
        print(f"skipped: {error}")
        return WITHOUT
    return 0


sys.exit(main(sys.argv[1:]))
