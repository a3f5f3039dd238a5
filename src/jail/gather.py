#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gather the system calls that the daemon may make from the tags beside the functions that make them.

usage: gather.py SOURCE_DIR OUTPUT     write the rows of syscalls.c's table (only if they have changed)
       gather.py SOURCE_DIR --list     print them
       gather.py SOURCE_DIR --check FILE   whether a page has this list, as it is

A tag is a line of a comment:

    seccomp: statx, fcntl 1==F_OFD_SETLK, mmap 2&PROT_EXEC==0
    seccomp[handles]: open_by_handle_at

A call may have conditions on its arguments, counted from 0: equal to a C expression, or equal to one
in the bits of a mask. Groups: none is the service's; handles, where files are opened by handle (else
EPERM); newer, on machines that have not the older ones for the same; enosys, answered with ENOSYS; zero,
answered with 0; keeper, the process outside.
"""

import os
import re
import sys
import textwrap

MOST = 75  # what the service may call
GROUPS = ("service", "handles", "newer", "enosys", "zero", "keeper")
TAG = re.compile(r"^[\s/*]*seccomp(?:\[(\w+)\])?: (.*?)\s*(?:\*/)?\s*$")
CONDITION = re.compile(r"^([0-5])(?:&([^=&]+))?==(.+)$")


def gather(source):
    """{group: {call: {conditions}}}; conditions are a tuple of strings, empty for none."""
    found = {group: {} for group in GROUPS}
    for folder, _, names in sorted(os.walk(os.path.join(source, "src"))):
        for name in sorted(names):
            if not name.endswith(".c"):
                continue
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as f:
                for number, line in enumerate(f, 1):
                    m = TAG.match(line)
                    if m:
                        take(found, f"{path}:{number}", m.group(1) or "service", m.group(2))
    return found


def take(found, where, group, text):
    """One tag."""
    if group not in found:
        sys.exit(f"{where}: no such group: {group}")
    for item in text.rstrip(",").split(","):
        call, *conditions = item.split()
        for c in conditions:
            if not CONDITION.match(c):
                sys.exit(f"{where}: not a condition: {c}")
        have = found[group].setdefault(call, set())
        have.add(tuple(conditions))
        if len(have) > 1 and () in have:
            sys.exit(f"{where}: {call} is tagged with and without conditions: one would undo the other")


def row(group, call, conditions):
    """A row of the C table."""
    args = []
    for c in conditions:
        arg, mask, value = CONDITION.match(c).groups()
        args.append(f"SCMP_A{arg}(SCMP_CMP_MASKED_EQ, (scmp_datum_t)({mask}), (scmp_datum_t)({value}))"
                    if mask else f"SCMP_A{arg}(SCMP_CMP_EQ, (scmp_datum_t)({value}))")
    text = " ".join(conditions)
    return (f'{{GROUP_{group.upper()}, "{call}", SCMP_SYS({call}), "{text}", {len(args)}, '
            f'{{{", ".join(args) or "{0}"}}}}},\n')


def listing(found):
    """As docs/security.md has it."""
    text = ""
    for group in GROUPS:
        calls = (call + "".join(f" ({' and '.join(c)})" for c in sorted(found[group][call]) if c)
                 for call in sorted(found[group]))
        text += f"{group}, {len(found[group])}:\n" + textwrap.fill(
            ", ".join(calls), 110, initial_indent="    ", subsequent_indent="    ",
            break_on_hyphens=False, break_long_words=False) + "\n"
    return text


def main():
    found = gather(sys.argv[1])
    for call in [*found["enosys"], *found["zero"]]:
        if call in found["service"]:
            sys.exit(f"{call} is tagged both as needed and as refused")
    service = set(found["service"]) | set(found["handles"])
    if len(service) > MOST:
        sys.exit(f"{len(service)} system calls are tagged, {MOST} are the most: do with others")
    if sys.argv[2] == "--list":
        sys.stdout.write(listing(found))
        return
    if sys.argv[2] == "--check":
        with open(sys.argv[3], encoding="utf-8") as f:
            if listing(found) not in f.read():
                sys.exit(f"{sys.argv[3]} has not this list; put it in:\n{listing(found)}")
        return
    rows = "".join(row(group, call, c) for group in GROUPS for call in sorted(found[group])
                   for c in sorted(found[group][call]))
    text = "/* SPDX-License-Identifier: Apache-2.0 */\n/* Made by gather.py. */\n" + rows
    if os.path.exists(sys.argv[2]):
        with open(sys.argv[2], encoding="utf-8") as f:
            if f.read() == text:
                return
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
