# SPDX-License-Identifier: Apache-2.0
"""Every option that the daemon takes is in --help and in the manual, and some test runs the daemon with it.

usage: options.py VIRTIOFSD SOURCE-ROOT

The rows are read from src/daemon/options.c. That a test fails without the option cannot be checked
here; that no test starts the daemon with it can. Words of -o only have to be parsed by a test.
"""
import pathlib
import re
import subprocess
import sys

daemon, root = sys.argv[1], pathlib.Path(sys.argv[2])
# What ends before anything is served, and what means nothing.
NOT_RUN = {"print-capabilities", "show-jail", "version", "help"}
FIELD = r'(NULL|0|"[^"]*"|\'.\')'


def rows():
    source = (root / "src/daemon/options.c").read_text()
    table = source[source.index("option_rows[] = {"):]
    table = table[: table.index("\n};")]
    for row in re.finditer(r"\{" + FIELD + r",\s*" + FIELD + r",\s*" + FIELD + r",\s*" + FIELD, table):
        yield [None if f in ("NULL", "0") else f.strip("\"'") for f in row.groups()]


def text_of(*patterns):
    return "\n".join(p.read_text() for pattern in patterns for p in sorted(root.glob(pattern)))


def main():
    shown = subprocess.run([daemon, "--help"], check=True, capture_output=True, text=True).stdout
    manual = (root / "man/virtiofsd.1").read_text().replace("\\-", "-")
    # The tests that start the daemon, but for the one of lines that are refused.
    run = text_of("tests/proto/*.c", "tests/guest/t/*", "tests/guest/lib/*", "tests/diff/*.sh",
                  "tests/cli/start.sh", "tests/cli/jail.sh")
    parsed = run + text_of("tests/unit/test_options.c")
    wrong = []
    n = 0

    def want(what, where, pattern, text):
        if not re.search(pattern, text, re.M):
            wrong.append(f"{what}: not in {where}")

    for name, letter, legacy, arg in rows():
        n += 1
        if name:
            word = "--" + re.escape(name) + r"(?![a-z-])"
            want("--" + name, "--help", r"^ .*" + word, shown)
            # In a line that has the options of a paragraph, and what the value is called.
            want("--" + name, "the manual", r"^\.B\S* .*" + word, manual)
            if arg and arg.isalpha():
                want(f"--{name}={arg}", "the manual", r"^\.B\S* .*" + word + r"=.*" + arg + r"|^\.B\S* .*" + word + r" \[", manual)
            if name not in NOT_RUN:
                want("--" + name, "a test that starts the daemon", word, run)
        if letter and not name:
            want("-" + letter, "--help", r"^ .*-" + letter + r"\b", shown)
            want("-" + letter, "the manual", r"^\.B\S* .*-" + letter + r"\b", manual)
        if legacy:
            want("-o " + legacy, "the manual", r"^\.BR " + legacy + r"(=|\b)|-o " + legacy + r"\b", manual)
            want("-o " + legacy, "a test", r"-o[ \",=][^;]*\b" + legacy + r"\b", parsed)
    # The table is there at all.
    if n < 40:
        wrong.append(f"only {n} rows were found in options.c")
    print("\n".join(wrong) or f"{n} rows")
    return 1 if wrong else 0


sys.exit(main())
