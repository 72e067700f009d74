#!/usr/bin/env python3
"""Makes unknown_to_1.39.txt: what envoy-1.40.binpb has and Envoy 1.39 does not know, or judges otherwise.

    descriptors/compare.py "$(tools/fetch.py envoy-1.39)"        writes it again; the same inputs give the same bytes

What an Envoy knows is read out of the program: it carries the descriptors of all its messages, as they were
compiled. So the older release needs no set of its own, neither here nor in memory.
"""
import mmap
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
NEW = HERE / "envoy-1.40.binpb"
OUTPUT = HERE / "unknown_to_1.39.txt"
# Packages that a resource can hold messages of.
PACKAGES = ("envoy/", "xds/", "udpa/", "google/", "cel/", "opentelemetry/", "io/", "validate/")
# Fields of FileDescriptorProto: a message, a name once, the syntax at the end.
FILE_MESSAGES, FILE_NUMBERS, FILE_ONCE, FILE_SYNTAX = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12}, {10, 11, 14}, {1, 2, 12}, 12
# The extension of FieldOptions that holds protoc-gen-validate's rules.
RULES = 1071

HEADER = """\
# What Envoy 1.40 can be configured with and Envoy 1.39 cannot; made by compare.py.
#
#   message, field, enum, value   not known: it would be ignored, or refused
#   type                         known as something else
#   rules                        held to other rules of protoc-gen-validate
#
"""


def varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def fields(data):
    """The fields of an encoded message, as (number, value)."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            value, at = bytes(data[at:at + size]), at + size
        else:
            size = 8 if kind == 1 else 4
            value, at = bytes(data[at:at + size]), at + size
        yield key >> 3, value


def first(message, number, default=b""):
    return next((value for key, value in fields(message) if key == number), default)


def carried(program):
    """The files whose descriptors a program carries."""
    with open(program, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        found = {}
        for match in re.finditer(rb"\n([\x05-\x7f])([\w/.-]+\.proto)", data):
            name = match[2][:match[1][0]].decode()
            if name.endswith(".proto") and name.startswith(PACKAGES):
                descriptor = whole(data, match.start())
                if len(descriptor) > len(found.get(name, b"")):
                    found[name] = descriptor
        return found


def whole(data, start):
    """The FileDescriptorProto that begins here; it ends with its syntax, or before what cannot be of it."""
    at, seen = start, set()
    while at < len(data):
        key, after = varint(data, at)
        number, kind = key >> 3, key & 7
        if number in seen & FILE_ONCE:
            break
        if kind == 2 and number in FILE_MESSAGES:
            size, after = varint(data, after)
            after += size
        elif kind == 0 and number in FILE_NUMBERS:
            _, after = varint(data, after)
        else:
            break
        seen.add(number)
        at = after
        if number == FILE_SYNTAX:
            break
    return bytes(data[start:at])


def known(files):
    """What files declare: full name -> (what it is, what must be equal, its rules)."""
    table = {}
    for file in files:
        package = first(file, 2).decode()
        for number, value in fields(file):
            if number == 4:
                message(package, value, table)
            elif number == 5:
                enum(package, value, table)
    return table


def message(scope, descriptor, table):
    name = f"{scope}.{first(descriptor, 1).decode()}"
    table[name] = ("message", None, None)
    for number, value in fields(descriptor):
        if number == 2:
            kind = tuple(first(value, part, 0) for part in (3, 4, 5, 6))
            table[f"{name}.{first(value, 1).decode()}"] = ("field", kind, first(first(value, 8), RULES))
        elif number == 3:
            message(name, value, table)
        elif number == 4:
            enum(name, value, table)


def enum(scope, descriptor, table):
    name = f"{scope}.{first(descriptor, 1).decode()}"
    table[name] = ("enum", None, None)
    for number, value in fields(descriptor):
        if number == 2:
            table[f"{name}.{first(value, 1).decode()}"] = ("value", first(value, 2, 0), None)


def rows(new, old):
    for name, (what, kind, rules) in sorted(new.items()):
        within = name.rpartition(".")[0]
        if name not in old:
            if within not in new or within in old:
                yield name, what
        elif old[name][1] != kind:
            yield name, "type"
        elif old[name][2] != rules:
            yield name, "rules"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    old = known(carried(sys.argv[1]).values())
    new = known(value for number, value in fields(NEW.read_bytes()) if number == 1)
    if len(old) < 5_000:
        sys.exit(f"{sys.argv[1]} carries only {len(old)} descriptors: is it an Envoy?")
    lines = [f"{name:<110} {what}".rstrip() for name, what in rows(new, old)]
    OUTPUT.write_text(HEADER + "\n".join(lines) + "\n")
    print(f"{OUTPUT.name}: {len(lines)} of {len(new)}")


if __name__ == "__main__":
    main()
