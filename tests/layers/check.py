#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each layer can include what the blueprint allows, and nothing else.

usage: check.py BUILD_DIR SOURCE_DIR

For every pair of layers the header of one is included from the other with that layer's own compiler
command: an allowed include must compile and a forbidden one must not.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile

# What each layer may include besides itself (docs/architecture.md).
ALLOWED = {
    "src/base": set(),
    "src/virtio": {"src/base"},
    "src/fuse": {"src/base"},
    "src/jail": {"src/base"},
    "src/vhost": {"src/virtio", "src/base"},
    "src/passthrough": {"src/fuse", "src/base"},
    "src/memfs": {"src/fuse", "src/base"},
    "tools/vuf": {"src/vhost", "src/virtio", "src/base"},
}


def command_of(build, source, layer):
    """The compiler command of some file of a layer, without its output and its input."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        for entry in json.load(f):
            path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), source)
            if os.path.dirname(path) != layer:
                continue
            words, skip = [], False
            for word in shlex.split(entry["command"]):
                if skip or word in ("-o", "-MF", "-MQ"):
                    skip = not skip
                elif word not in ("-c", "-MD", entry["file"]):
                    words.append(word)
            return words, entry["directory"]
    sys.exit(f"{layer}: no file of it is compiled in {build}")


def main():
    build, source = (os.path.abspath(p) for p in sys.argv[1:3])
    bad = checks = 0
    with tempfile.TemporaryDirectory() as tmp:
        probe = os.path.join(tmp, "probe.c")
        for layer, allowed in ALLOWED.items():
            words, directory = command_of(build, source, layer)
            for other in ALLOWED:
                headers = sorted(h for h in os.listdir(os.path.join(source, other)) if h.endswith(".h"))
                if not headers:
                    sys.exit(f"{other}: has no header to try")
                with open(probe, "w", encoding="utf-8") as f:
                    f.write(f'#include "{headers[0]}"\n')
                compiles = subprocess.run(
                    words + ["-fsyntax-only", "-Wno-unused", probe], cwd=directory,
                    stderr=subprocess.DEVNULL, check=False).returncode == 0
                checks += 1
                if compiles != (other == layer or other in allowed):
                    bad += 1
                    print(f"{layer} includes {headers[0]} of {other}: "
                          f"{'compiles but is forbidden' if compiles else 'is allowed but fails'}")
    print(f"{checks} includes tried, {bad} wrong")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
