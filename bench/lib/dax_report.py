# SPDX-License-Identifier: Apache-2.0
"""What bench/dax has measured, as dax.json, tables in dax.md (printed, too) and a plot, dax.svg.

usage: dax_report.py DIR        which has dax.rows and dax.facts

A line of dax.rows is three parts with "|" between: what the guest tells (round, job, arm, status of fio, KiB, ms, page
faults, MemFree and Cached before, the same after), and what the host saw before and after (KiB of QEMU: guest memory,
mapped files, all else; KiB of the daemon; KiB of the files in the page cache).
"""
import json
import sys
from statistics import median

from draw import bars, number, table

ARMS = {
    "9p-mmap": ("9p cache=mmap", "#8c8c8c"),
    "9p-loose": ("9p cache=loose", "#595959"),
    "9p-tuned": ("9p loose, msize=512000", "#bdbdbd"),
    "fs-never": ("virtio-fs never", "#9ecae1"),
    "fs-auto": ("virtio-fs auto", "#6baed6"),
    "fs-always": ("virtio-fs always", "#3182bd"),
    "dax-never": ("DAX never", "#fdae6b"),
    "dax-auto": ("DAX auto", "#e6550d"),
    "dax-always": ("DAX always", "#a63603"),
    "dax-small": ("DAX, small window", "#dadaeb"),
    "dax-hot": ("DAX, mapped already", "#fee6ce"),
}
# job, arm, the arm it is compared with, at least
TARGETS = [
    ("bare-read-1", "dax-auto", "9p-mmap", 10),
    ("bare-read-1", "dax-auto", "9p-loose", 5),
    ("bare-randread-1", "dax-auto", "9p-mmap", 50),
    ("bare-randread-1", "dax-auto", "9p-loose", 50),
    ("mmap-read-1", "dax-auto", "9p-mmap", 10),
    ("mmap-read-1", "dax-auto", "9p-loose", 5),
    ("mmap-randread-1", "dax-auto", "9p-mmap", 50),
    ("mmap-randread-1", "dax-auto", "9p-loose", 50),
]
KINDS = {"read": "sequential read", "randread": "random read", "write": "sequential write", "randwrite": "random write"}


def read_runs(path):
    runs = []
    for line in open(path, encoding="ascii"):
        guest, before, after = line.strip().split("|")
        rnd, job, arm, *numbers = guest.split()
        status, kib, ms, faults, free0, cached0, free1, cached1 = map(int, numbers)
        b, a = list(map(int, before.split())), list(map(int, after.split()))
        daemon = a[3] if len(a) == 5 else None
        runs.append({
            "round": int(rnd), "job": job, "arm": arm, "ok": status == 0, "kib": kib, "ms": ms,
            "mb_per_s": kib * 1.024 / ms if status == 0 and ms else None, "faults": faults,
            "guest_free_kib": [free0, free1], "guest_cached_kib": [cached0, cached1],
            "qemu_guest_memory_kib": [b[0], a[0]], "qemu_window_kib": [b[1], a[1]], "qemu_other_kib": [b[2], a[2]],
            "daemon_kib": daemon, "host_cached_kib": a[-1],
        })
    return runs


def rates(runs, job, arm):
    """Rate by round."""
    return {r["round"]: r["mb_per_s"] for r in runs if r["job"] == job and r["arm"] == arm and r["ok"]}


def ordered(runs, key, known):
    seen = {r[key] for r in runs}
    return [k for k in known if k in seen]


def jobs_of(runs):
    names = [f"{e}-{k}-{n}" for n in (1, 4) for e in ("bare", "mmap", "psync") for k in KINDS]
    return ordered(runs, "job", names)


def job_title(job):
    engine, kind, n = job.split("-")
    return f"{engine}, {KINDS[kind]}" + ("" if n == "1" else f", {n} jobs")


def rate_table(runs):
    arms = ordered(runs, "arm", ARMS)
    rows = []
    for job in jobs_of(runs):
        row = [job_title(job)]
        for arm in arms:
            got = rates(runs, job, arm)
            tried = any(r["job"] == job and r["arm"] == arm for r in runs)
            row.append(number(median(got.values())) if got else "cannot" if tried else "")
        rows.append(row)
    return table(["MB/s"] + [ARMS[a][0] for a in arms], rows)


def ratios(runs, job, arm, other):
    a, b = rates(runs, job, arm), rates(runs, job, other)
    return [a[r] / b[r] for r in sorted(a) if r in b]


def target_rows(runs):
    out = []
    for job, arm, other, least in TARGETS:
        x = ratios(runs, job, arm, other)
        if x:
            out.append({"job": job, "arm": arm, "against": other, "least": least, "median": median(x),
                        "min": min(x), "max": max(x), "rounds": len(x)})
    return out


def ratio_table(runs):
    """DAX against each arm, in the jobs with the most rounds."""
    most = max(r["round"] for r in runs)
    rows = []
    for job in jobs_of(runs):
        if most > 2 and not any(r["job"] == job and r["round"] == most for r in runs):
            continue
        for other in ("9p-mmap", "9p-loose", "fs-auto", "fs-always"):
            x = ratios(runs, job, "dax-auto", other)
            if x:
                least = [t[3] for t in TARGETS if t[:3] == (job, "dax-auto", other)]
                rows.append([f"{job_title(job)}, against {ARMS[other][0]}", number(median(x)),
                             f"{number(min(x))} … {number(max(x))}", str(len(x)), str(least[0]) if least else ""])
    return table(["DAX auto", "median ratio", "least … most", "rounds", "target"], rows)


def mib(kib):
    return f"{kib / 1024:,.0f}"


def memory_table(runs, job):
    rows = []
    for arm in ordered(runs, "arm", ARMS):
        of = [r for r in runs if r["job"] == job and r["arm"] == arm and r["ok"]]
        if not of:
            continue

        def grown(key):
            return median(r[key][1] - r[key][0] for r in of)

        daemon = median(r["daemon_kib"] or 0 for r in of)
        rows.append([ARMS[arm][0], mib(median(r["kib"] for r in of)), mib(grown("guest_cached_kib")),
                     mib(-grown("guest_free_kib")), mib(grown("qemu_window_kib")), mib(grown("qemu_other_kib")),
                     f"{daemon / 1024:.1f}" if daemon else "", f"{median(r['faults'] for r in of):,.0f}"])
    return table(["MiB", "read", "guest: Cached +", "guest: MemFree −", "QEMU: files mapped +", "QEMU: other +",
                  "daemon", "page faults (number)"], rows)


def svg(runs, facts):
    """A panel a job, with a bar for each arm."""
    panels = []
    for job in [j for j in jobs_of(runs) if j.endswith("-1")] or jobs_of(runs):
        got = {}
        for arm in {r["arm"] for r in runs if r["job"] == job}:
            of = rates(runs, job, arm).values()
            got[arm] = (min(of), median(of), max(of)) if of else "cannot"
        panels.append((job_title(job), got))
    return bars("Blocks of 4 KiB, one job: MB/s",
                f'QEMU {facts.get("qemu", "")}, {facts.get("accel", "")}; median, and least to most; '
                "logarithmic: each line is ten times the one before",
                panels, {a: ARMS[a] for a in ordered(runs, "arm", ARMS)})


def main(folder):
    runs = read_runs(folder + "/dax.rows")
    facts = dict(line.rstrip("\n").split("\t", 1) for line in open(folder + "/dax.facts", encoding="utf-8"))
    if not any(r["ok"] for r in runs):
        sys.exit("no run went well")
    targets = target_rows(runs)
    with open(folder + "/dax.json", "w", encoding="utf-8") as f:
        json.dump({"facts": facts, "targets": targets, "runs": runs}, f, indent=1)
        f.write("\n")
    lines = [", ".join(f"{k}: {v}" for k, v in facts.items()), ""] + rate_table(runs) + [""] + ratio_table(runs)
    for job in ("mmap-read-1", "psync-read-1", "mmap-write-1"):
        if any(r["job"] == job and r["ok"] for r in runs):
            lines += ["", f"Memory: {job_title(job)}", ""] + memory_table(runs, job)
    with open(folder + "/dax.md", "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    with open(folder + "/dax.svg", "w", encoding="utf-8") as f:
        f.write(svg(runs, facts))
    print("\n".join(lines))
    for t in targets:
        print(f"{job_title(t['job'])}: {t['median']:.1f} times {ARMS[t['against']][0]}; target {t['least']}: "
              + ("held" if t["median"] >= t["least"] else "missed"))


if __name__ == "__main__":
    main(sys.argv[1])
