# SPDX-License-Identifier: Apache-2.0
"""The table of options, --help, the manual and the completions agree, and some test runs the daemon with each.

usage: options.py VIRTIOFSD SOURCE-ROOT COMPLETE BASH-COMPLETIONS ZSH-COMPLETIONS MANUAL

COMPLETE lists the table. That a test fails without the option cannot be checked here; that no test starts
the daemon with it can. Words of -o only have to be parsed by a test, and options that are refused to be
refused by one.
"""
import pathlib
import re
import subprocess
import sys

daemon, root, complete, bash, zsh, manual_page = sys.argv[1], pathlib.Path(sys.argv[2]), *sys.argv[3:]
# What ends before anything is served, and what means nothing.
NOT_RUN = {"print-capabilities", "show-jail", "version", "help"}

wrong = []


def want(good, what):
    if not good:
        wrong.append(what)


def rows():
    listed = subprocess.run([complete, "list"], check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in listed.splitlines()]


def text_of(*patterns):
    return "\n".join(p.read_text() for pattern in patterns for p in sorted(root.glob(pattern)))


def man_options():
    """The options of the manual, each with its paragraph."""
    text = pathlib.Path(manual_page).read_text()
    section = text[text.index("\n.SH OPTIONS\n"):]
    section = section[: section.index("\n.SH ", 1)].replace("\\-", "-")
    # The head of a paragraph is the line after .TP; those within .RS are values.
    for part in re.sub(r"^\.RS$.*?^\.RE$", lambda m: m[0].replace(".TP", ".VALUE"), section,
                       flags=re.M | re.S).split("\n.TP\n")[1:]:
        head, _, body = part.partition("\n")
        for option in re.findall(r"\\fB(-[^\\]*)", head):
            yield option, re.sub(r"\\f[A-Z]", " ", body)


# One shell for all: a line of words, apart by tabs, is answered with a line.
COMPLETER = r"""
compopt() { :; }
. "$1"
while IFS=$'\t' read -ra COMP_WORDS; do
	# An empty word at the end is one, too.
	[ "${COMP_WORDS[-1]}" != "''" ] || COMP_WORDS[-1]=
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_virtiofsd 2>&1
	echo "${COMPREPLY[*]}"
done
"""
shell = subprocess.Popen(["bash", "-c", COMPLETER, "-", bash], text=True, bufsize=1, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)


def complete_bash(*words):
    """What the shell offers for the last of the words; a = is a word of its own, as it is to bash."""
    shell.stdin.write("\t".join(["virtiofsd", *(word or "''" for word in words)]) + "\n")
    return shell.stdout.readline().split()


def check_row(name, letter, legacy, kind, values, texts):
    shown, manual, run, parsed, zsh_text = texts
    names = (["--" + name] if name else []) + (["-" + letter] if letter else [])
    if kind == "refused":
        what = names[0] if names else "-o " + legacy
        want(what not in shown, f"{what}: is refused, but in --help")
        want(re.search(re.escape(what) + r"\b", parsed), f"{what}: no test that it is refused")
        return
    for option in names:
        if kind != "hidden":
            want(re.search(r"^ .*" + option + r"(?![a-z-])", shown, re.M), f"{option}: not in --help")
            want(option in manual, f"{option}: not in the manual's OPTIONS")
            want(re.search(r"^\t'\*?" + option + r"[=\[:]", zsh_text, re.M), f"{option}: no completion for zsh")
            offer = complete_bash(option)
            want(option in offer or option + "=" in offer, f"{option}: no completion for bash: {offer}")
    for value in values.split():
        place = manual.get(names[0]) if names and kind != "hidden" else None
        if place:
            want(re.search(r"\b" + value + r"\b", place) or "is as above" in place,
                 f"{names[0]}: the value {value} is not in the manual")
            want(re.search(r"^ .*" + names[0] + r".*\b" + value + r"\b", shown, re.M),
                 f"{names[0]}: the value {value} is not in --help")
            want(value in complete_bash(names[0], "=", value[:1]), f"{names[0]}={value}: no completion for bash")
    if name and name not in NOT_RUN:
        want(re.search("--" + name + r"(?![a-z-])", run), f"--{name}: no test starts the daemon with it")
    if legacy:
        want(re.search(r"\b" + legacy + r"\b", manual["-o"]), f"-o {legacy}: not in the manual")
        want(re.search(r"-o[ \",=][^;]*\b" + legacy + r"\b", parsed), f"-o {legacy}: not in a test")
        want([w for w in complete_bash("-o", legacy) if w.rstrip("=") == legacy], f"-o {legacy}: no completion")


def main():
    shown = subprocess.run([daemon, "--help"], check=True, capture_output=True, text=True).stdout
    want(max(map(len, shown.splitlines())) < 80, "--help is too wide for a terminal")
    # A paragraph a line.
    shown = re.sub(r"\n {20,}", " ", shown)
    manual = dict(man_options())
    # The tests that start the daemon, but for the one of lines that are refused.
    run = text_of("tests/proto/*.c", "tests/guest/t/*", "tests/guest/lib/*", "tests/diff/*.sh",
                  "tests/cli/start.sh", "tests/cli/jail.sh", "tests/launchers/*.py")
    parsed = run + text_of("tests/unit/test_options.c", "tests/cli/cli.sh")
    table = rows()
    for name, letter, legacy, _, kind, values, _ in table:
        check_row(name, letter, legacy, kind, values,
                  (shown, manual, run, parsed, pathlib.Path(zsh).read_text()))
    want("source=/x,cache=" in complete_bash("-o", "source=/x,ca"), "-o: no completion behind a comma")
    want("--readonly" in complete_bash(""), "no options are offered for nothing")
    want(len(table) >= 60, f"only {len(table)} rows are listed")
    print("\n".join(wrong) or f"{len(table)} rows")
    return 1 if wrong else 0


sys.exit(main())
