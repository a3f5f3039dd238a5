#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the manual of virtiofsd: the options come from the daemon's table, the prose from the page.

usage: options.py COMPLETE PAGE

COMPLETE lists the table. In the page, what is between the lines "@options" and "@end" is paragraphs, each behind a line
that names the options that it is about: "@option --name, -o word". They come in the order of the table, with heads that
are made from it. An option that no paragraph is about has its line in --help instead; one that is not offered must have
no paragraph. A line "@words" stands for the words of -o.
"""
import subprocess
import sys

complete, page = sys.argv[1:]


def fail(what):
    sys.exit(f"{page}: {what}")


class Row:
    """An option as it is listed: see list() in complete.c."""

    def __init__(self, line):
        self.name, self.letter, self.legacy, self.arg, self.kind, _, self.help = line.split("\t")
        self.key = "--" + self.name if self.name else "-" + self.letter if self.letter else "-o " + self.legacy

    def head(self):
        names = [bold("-" + self.letter)] if self.letter else []
        if self.name:
            names.append(bold("--" + self.name))
        value = ""
        if self.kind == "optional":
            value = "[" + bold("=") + italic(self.arg) + "]"
        elif self.arg:
            value = (bold("=") if self.name else " ") + italic(self.arg)
        return ", ".join(names or [bold(self.key)]) + value


def escape(text):
    return text.replace("\\", "\\e").replace("-", "\\-")


def bold(text):
    return "\\fB" + escape(text) + "\\fP"


def italic(text):
    return "\\fI" + escape(text) + "\\fP"


def words(rows):
    """The words of -o, as a sentence."""
    taken = [bold(row.legacy) + (bold("=") + italic(row.arg) if row.arg else "")
             for row in rows if row.legacy and row.kind != "refused"]
    return ",\n".join(taken[:-1]) + ",\nand\n" + taken[-1] + "."


def write(rows, paragraphs):
    """The list: rows in their order, those of one paragraph together where the first of them is."""
    by_key = {row.key: row for row in rows if row.kind in ("offered", "optional")}
    about = {}
    for keys, text in paragraphs:
        for key in keys:
            if key not in by_key:
                fail(f"there is no option {key}")
            if key in about:
                fail(f"two paragraphs are about {key}")
            about[key] = (keys, text)
    for key, row in by_key.items():
        keys, text = about.get(key, ([key], [escape(row.help[0].upper() + row.help[1:]) + "."]))
        if key == keys[0]:
            print(".TP\n" + ", ".join(by_key[k].head() for k in keys))
            print("\n".join(words(rows) if line == "@words" else line for line in text))


def main():
    listed = subprocess.run([complete, "list"], check=True, capture_output=True, text=True).stdout
    rows = [Row(line) for line in listed.splitlines()]
    paragraphs = None
    with open(page, encoding="utf-8") as lines:
        for line in map(str.rstrip, lines):
            if line == "@options":
                paragraphs = []
            elif line == "@end":
                write(rows, paragraphs)
                paragraphs = None
            elif paragraphs is None:
                print(line)
            elif line.startswith("@option "):
                paragraphs.append((line.removeprefix("@option ").split(", "), []))
            elif paragraphs:
                paragraphs[-1][1].append(line)
            else:
                fail("text before the first @option")


main()
