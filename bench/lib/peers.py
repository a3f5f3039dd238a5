# SPDX-License-Identifier: Apache-2.0
"""Run the stages of bench/peers, which says what they are. Each leaves STAGE.json (and what belongs to it) in --out.

A daemon ends with its front-end, so each stage starts those that it needs. Settings: "ours" is set as the others are by
default (sandbox=namespace, seccomp=kill, cache=auto, no xattrs, no thread pool, an O_PATH descriptor for each inode, no
polling); "ours-poll" polls besides; "ours-default" has no options but socket and folder; "rust-handles" holds inodes as
ours does by default.

All of it runs with the highest priority that there is, so that other processes disturb less.
"""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

STAGES = ["ops", "depths", "latency", "throughput", "queues", "stall", "inodes", "start", "calls"]
OPS = ("read-4k,write-4k,read-64k,write-64k,read-1m,write-1m,getattr,lookup,lookup-miss,open,create,forget,"
       "readdirplus-10,readdirplus-1k,readdirplus-1k-new,readdirplus-100k")
OPS_QUICK = "read-4k,write-4k,read-1m,getattr,lookup,lookup-miss,open,create,readdirplus-1k"
DEPTHS = "read-4k,write-4k,getattr,lookup"
CALLS = ["read-4k", "write-4k", "read-1m", "getattr", "lookup", "lookup-miss", "open", "create", "readdirplus-1k"]


def say(text):
    print(f"bench/peers: {text}", file=sys.stderr, flush=True)


class Daemon:
    """A daemon in a session of its own."""

    def __init__(self, name, argv, folder, cpus):
        self.name = name
        self.socket = f"{folder}/{name}.sock"
        self.log = open(f"{folder}/{name}.log", "w", encoding="utf-8")
        self.argv = [a.replace("SOCKET", self.socket) for a in argv]
        self.begun = time.perf_counter_ns()
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True,
                                        preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)

    def wait(self):
        for _ in range(1000):
            if os.path.exists(self.socket):
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.log.flush()
        with open(self.log.name, encoding="utf-8") as f:
            sys.exit(f"bench/peers: {self.name} does not listen: {' '.join(self.argv)}\n{f.read()}")

    def pids(self):
        """All processes of its session."""
        out = []
        for stat in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(stat, encoding="utf-8") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[3] == str(self.process.pid) and fields[0] != "Z":
                out.append(int(stat.split("/")[2]))
        return out

    def end(self):
        """It is to end by itself when its front-end has gone; a while later it is ended."""
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            pass
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.log.close()
        old = "/run/virtiofsd/" + self.socket.strip("/").replace("/", ".") + ".pid"
        for leftover in (self.socket, self.socket + ".pid", old):
            if os.path.exists(leftover):
                os.unlink(leftover)


class Runner:
    def __init__(self, opts, share, folder):
        self.o = opts
        self.share = share
        self.folder = folder
        self.count = 0
        us = [opts.ours, "--socket-path", "SOCKET", "--shared-dir", share, "--log-level", "warn"]
        rust = opts.rust.split() + ["--socket-path", "SOCKET", "--shared-dir", share, "--log-level", "warn"]
        old = opts.c.split() + ["--socket-path=SOCKET", "-o", f"source={share}", "-o", "log_level=warn"]
        same = us + ["--sandbox", "namespace", "--seccomp", "kill", "--cache", "auto", "--thread-pool-size", "0",
                     "--inode-file-handles", "never"]
        self.argv = {
            "ours": same + ["--poll-us", "0"],
            "ours-poll": same,
            "ours-default": us,
            "rust": rust,
            "rust-handles": rust + ["--inode-file-handles=prefer"],
            "c": old,
            "floor": [opts.floor, "--socket-path", "SOCKET"],
        }
        self.running = []
        self.cpus = os.sched_getaffinity(0)

    def start(self, name, cpus=None):
        self.count += 1
        folder = f"{self.folder}/{self.count}"
        os.mkdir(folder)
        d = Daemon(name, self.argv[name], folder, cpus)
        self.running.append(d)
        return d

    def end(self):
        for d in self.running:
            d.end()
        self.running = []

    def bench(self, stage, names, args, others=("native", "null")):
        """One run of virtiofs-bench on new daemons; its figures go to STAGE.json."""
        out = f"{self.o.out}/{stage}.json"
        # A daemon that is to be on one CPU may know that from the beginning.
        one = {min(self.cpus)} if "-c" not in args else None
        daemons = [self.start(n, one).wait() for n in names]
        argv = [self.o.bench, "-k", "-j", out] + args + [self.share] + [f"{d.name}={d.socket}" for d in daemons] + list(others)
        r = subprocess.run(argv, check=False)
        self.end()
        if r.returncode:
            sys.exit(f"bench/peers: {stage}: {' '.join(argv)}: status {r.returncode}")
        with open(out, encoding="utf-8") as f:
            return json.load(f)

    def slices(self, ms=None):
        return ["-r", str(self.o.rounds), "-t", str(ms or self.o.time)]

    def ops(self):
        works = self.o.work or (OPS_QUICK if self.o.quick else OPS)
        names = ["ours", "rust", "c", "ours-default"] + ([] if self.o.quick else ["rust-handles"])
        self.bench("ops", names, ["-w", works, "-d", "32"] + self.slices())

    def depths(self):
        works = self.o.work or ("read-4k" if self.o.quick else DEPTHS)
        self.bench("depths", ["ours", "rust", "c"], ["-w", works, "-d", "1,4,32,128"] + self.slices())

    def latency(self):
        self.bench("latency", ["ours", "rust", "c", "ours-poll", "ours-default"],
                   ["-w", "read-4k,getattr", "-d", "1", "-c", "two"] + self.slices(),
                   others=("native", "null", "null-poll"))

    def throughput(self):
        works = "read-1m" if self.o.quick else "read-1m,write-1m,read-64k"
        self.bench("throughput", ["ours", "rust", "c", "ours-poll"],
                   ["-w", works, "-d", "32", "-c", "two"] + self.slices())

    def queues(self):
        # What keeps the daemon busy and the generator not, as there are two CPUs for both.
        works = "readdirplus-1k,read-64k,create"
        self.bench("queues", ["ours", "rust", "ours-poll"],
                   ["-w", works, "-q", "1,2,4", "-d", "32", "-c", "any"] + self.slices(), others=())

    def stall(self):
        self.bench("stall", ["ours", "rust", "c", "ours-default"],
                   ["-w", "calm,stall", "-d", "8"] + self.slices(4 * self.o.time), others=())

    def inodes(self):
        for n in (100000,) if self.o.quick else (100000, 1000000):
            self.bench(f"inodes-{n}", ["ours-default", "rust-handles", "rust", "c"], ["-i", str(n)], others=())

    def start_stage(self):
        """Start to listening, and what is resident then; interleaved.

        The daemon goes on with its sandbox at once, in two processes: the clock is read by one that need not wait for a CPU.
        """
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        except PermissionError:
            say("cannot have a real-time priority: times to listening will be longer than they are")
        names = ["ours", "ours-default", "rust", "c", "floor"]
        rows = []
        for rnd in range(3 * self.o.rounds):
            for name in names if rnd % 2 == 0 else reversed(names):
                d = self.start(name)
                while True:
                    s = socket.socket(socket.AF_UNIX)
                    try:
                        s.connect(d.socket)
                        break
                    except OSError:
                        s.close()
                        if d.process.poll() is not None:
                            d.wait()
                        # The daemon may need this CPU.
                        time.sleep(0.00002)
                ns = time.perf_counter_ns() - d.begun
                time.sleep(0.1)
                rss = pss = 0
                for pid in d.pids():
                    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
                        text = f.read()
                    rss += int(re.search(r"^Rss: *(\d+)", text, re.M).group(1)) * 1024
                    pss += int(re.search(r"^Pss: *(\d+)", text, re.M).group(1)) * 1024
                rows.append({"round": rnd, "arm": name, "ns": ns, "rss": rss, "pss": pss, "processes": len(d.pids())})
                s.close()
                self.end()
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        with open(f"{self.o.out}/start.json", "w", encoding="utf-8") as f:
            json.dump({"results": rows}, f, indent=1)

    def counted(self, name, work, ms):
        """System calls that a daemon made, and requests that it answered, in a run of so long."""
        d = self.start(name).wait()
        out = f"{self.folder}/strace.{self.count}"
        # A sandbox has a process more, which may come after the socket.
        time.sleep(0.3)
        pids = [w for p in d.pids() for w in ("-p", str(p))]
        strace = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", out] + pids, stderr=subprocess.PIPE)
        # It says so of each that it is attached to.
        for _ in d.pids():
            strace.stderr.readline()
        report = f"{self.folder}/strace.json"
        r = subprocess.run([self.o.bench, "-k", "-j", report, "-w", work, "-r", "1", "-t", str(ms), self.share,
                            f"{name}={d.socket}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if r.returncode:
            sys.exit(f"bench/peers: calls: {name}, {work}: {r.stderr}")
        strace.communicate(timeout=60)
        self.end()
        calls = {}
        with open(out, encoding="utf-8") as f:
            for line in f:
                m = re.match(r"\s*(\d+)\s+(\w+)$", line)
                if m and m.group(2) != "total":
                    calls[m.group(2)] = calls.get(m.group(2), 0) + int(m.group(1))
        with open(report, encoding="utf-8") as f:
            top = json.load(f)
        one = top["results"][0]
        return calls, top["arms"][0]["requests"], one["ops"] / one["requests"]

    def calls(self):
        """The slope between a short run and a long one, so that what is done once does not count."""
        rows = []
        for work in CALLS[:2] if self.o.quick else CALLS:
            for name in ("ours", "rust", "c"):
                say(f"counting system calls: {work}, {name}")
                # By then each file has been used once.
                few, n0, _ = self.counted(name, work, 400)
                # A busy machine may take long for one batch of a megabyte each.
                for ms in (1600, 6400, 25600):
                    many, n1, units = self.counted(name, work, ms)
                    if n1 - n0 >= 1000:
                        break
                else:
                    sys.exit(f"bench/peers: calls: {name}, {work}: too few requests in {ms} ms")
                per = {c: (many.get(c, 0) - few.get(c, 0)) / (n1 - n0) / units for c in many}
                rows.append({"work": work, "arm": name, "per_op": sum(per.values()),
                             "calls": {c: round(v, 4) for c, v in sorted(per.items(), key=lambda x: -x[1]) if v > 0.002}})
        with open(f"{self.o.out}/calls.json", "w", encoding="utf-8") as f:
            json.dump({"results": rows}, f, indent=1)


def facts(o, share):
    def version(argv):
        r = subprocess.run(argv + ["--version"], capture_output=True, text=True, check=False)
        return (r.stdout + r.stderr).split("\n", 1)[0]

    with open("/proc/cpuinfo", encoding="utf-8") as f:
        cpu = re.search(r"^model name\s*: (.*)", f.read(), re.M)
    return {
        "cpu": cpu.group(1) if cpu else os.uname().machine,
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "virtual": "hypervisor" in open("/proc/cpuinfo", encoding="utf-8").read(),
        "kernel": re.match(r"[0-9.]+", os.uname().release).group(0).rstrip("."),
        "files": subprocess.run(["stat", "-fc", "%T", share], capture_output=True, text=True, check=False).stdout.strip(),
        "ours": version([o.ours]), "rust": version(o.rust.split()), "c": version(o.c.split()),
        "nice": os.nice(0), "rounds": o.rounds, "time_ms": o.time,
        "load_before": os.getloadavg()[0], "load_after": os.getloadavg()[0],
    }


def write_facts(folder, f):
    with open(f"{folder}/peers.json", "w", encoding="utf-8") as out:
        json.dump(f, out, indent=1)
        out.write("\n")


def main():
    p = argparse.ArgumentParser()
    for name in ("ours", "rust", "c", "floor", "bench", "out", "share", "work", "stages"):
        p.add_argument("--" + name, default="")
    p.add_argument("--rounds", type=int)
    p.add_argument("--time", type=int)
    p.add_argument("--quick", action="store_true")
    o = p.parse_args()
    o.rounds = o.rounds or (3 if o.quick else 7)
    o.time = o.time or (40 if o.quick else 100)
    stages = o.stages.split(",") if o.stages else STAGES
    for s in stages:
        if s not in STAGES:
            sys.exit(f"bench/peers: --stages {s}: there are {' '.join(STAGES)}")
    if not o.share:
        share = tempfile.mkdtemp(prefix="culvert-bench.", dir="/dev/shm")
        os.chmod(share, 0o755)
    else:
        share = os.path.realpath(o.share)
    folder = tempfile.mkdtemp(prefix="culvert-peers.")
    run = Runner(o, share, folder)
    try:
        os.nice(-20)
    except PermissionError:
        say("cannot have a higher priority: other processes will disturb more")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        f = facts(o, share)
        for old in glob.glob(f"{o.out}/inodes-*.json") + [f"{o.out}/{s}.json" for s in STAGES]:
            if not o.stages and os.path.exists(old):
                os.unlink(old)
        # The facts are there even if a stage fails.
        write_facts(o.out, f)
        for s in stages:
            begin = time.monotonic()
            say(f"stage {s}")
            getattr(run, "start_stage" if s == "start" else s)()
            say(f"stage {s}: {time.monotonic() - begin:.0f} s")
        f["load_after"] = os.getloadavg()[0]
        write_facts(o.out, f)
    finally:
        run.end()
        shutil.rmtree(folder, ignore_errors=True)
        if not o.share:
            shutil.rmtree(share, ignore_errors=True)


if __name__ == "__main__":
    main()
