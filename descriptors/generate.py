#!/usr/bin/env python3
"""Makes envoy-1.40.binpb, the FileDescriptorSet of what Envoy 1.40 can be configured with.

    descriptors/generate.py        writes it again; the same inputs give the same bytes

Needs protoc (Debian: protobuf-compiler; made with 3.21.12), cargo, and Python 3 with pip. Sources:

  envoy-types 0.7.7 (crate)    the .proto files of Envoy's API, xds, protoc-gen-validate and what they import
  xds-protos 1.85.0 (wheel)    only the files of xds/ and udpa/ that the crate leaves out (TypedStruct, ORCA load
                               reports, the CEL and IP matchers), taken as serialized descriptors from the
                               generated Python, which is read and never run

Source information and options that nobody reads at run time are left out; protoc-gen-validate's rules stay.
Types that Envoy advertises and that this set lacks are listed in missing.txt with reasons.
"""
import ast
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
OUTPUT = HERE / "envoy-1.40.binpb"
CRATE = ("envoy-types", "0.7.7")
WHEEL = "xds-protos==1.85.0 --hash=sha256:e1e7bfd9936389936b2c85660d9db0dae380f12678a594b983da40dd472f1760"
INCLUDES = ["data-plane-api", "xds", "protoc-gen-validate", "googleapis", "cel-spec/proto", "cel-spec",
            "opentelemetry-proto", "client_model", "ratelimit/api", "ratelimit"]
# The roots: everything that a listener, route, cluster, endpoint, secret or an extension of theirs can hold.
ROOTS = ["envoy/config", "envoy/extensions", "envoy/type", "envoy/data", "envoy/service", "envoy/watchdog",
         "xds", "udpa"]
FROM_WHEEL = ("xds/", "udpa/")


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def crate_protos(folder):
    """The crate's folder of .proto files, fetched by cargo."""
    (folder / "src").mkdir()
    (folder / "src/lib.rs").write_text("")
    (folder / "Cargo.toml").write_text(
        f'[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n'
        f'[dependencies]\n{CRATE[0]} = "={CRATE[1]}"\n[workspace]\n')
    metadata = json.loads(run("cargo", "metadata", "--format-version=1", "--quiet", cwd=folder))
    package = next(p for p in metadata["packages"] if p["name"] == CRATE[0])
    return pathlib.Path(package["manifest_path"]).parent / "proto"


def compile_set(protos, output):
    """One descriptor set of all roots and their imports, in dependency order; returns the file names in it."""
    includes = [protos / name for name in INCLUDES if (protos / name).is_dir()]
    found = {}
    for include in includes:
        for path in include.rglob("*.proto"):
            found.setdefault(str(path.relative_to(include)), path)
    roots = sorted(n for n in found if n.startswith(tuple(r + "/" for r in ROOTS)))
    run("protoc", *[f"-I{i}" for i in includes], "--include_imports", f"--descriptor_set_out={output}", *roots)
    return set(found)


def wheel_descriptors(folder, known):
    """Serialized FileDescriptorProtos of the wheel's files that the crate does not have."""
    requirement = folder / "requirement.txt"
    requirement.write_text(WHEEL + "\n")
    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes",
        "--dest", str(folder), "--requirement", str(requirement))
    wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
    for name in sorted(n for n in wheel.namelist() if n.startswith(FROM_WHEEL) and n.endswith("_pb2.py")):
        if name.removesuffix("_pb2.py") + ".proto" in known:
            continue
        for node in ast.walk(ast.parse(wheel.read(name))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
                yield name.removesuffix("_pb2.py") + ".proto", ast.literal_eval(node.args[0])


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def imports(descriptor):
    """The `dependency` entries (field 3) of a serialized FileDescriptorProto."""
    at, found = 0, []
    while at < len(descriptor):
        key, at = read_varint(descriptor, at)
        if key & 7 == 2:
            size, at = read_varint(descriptor, at)
            if key >> 3 == 3:
                found.append(descriptor[at:at + size].decode())
            at += size
        else:
            _, at = read_varint(descriptor, at)
    return found


def read_varint(data, at):
    number, shift = 0, 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        partial = folder / "partial.binpb"
        done = compile_set(crate_protos(folder), partial)
        rest = dict(wheel_descriptors(folder, done))
        data = bytearray(partial.read_bytes())
        while rest:
            ready = [n for n, d in rest.items() if not any(i in rest for i in imports(d))]
            for file in ready:
                # A set is a repeated field: appending an entry appends a file.
                descriptor = rest.pop(file)
                data += b"\x0a" + varint(len(descriptor)) + descriptor
        OUTPUT.write_bytes(data)
    print(f"{OUTPUT.relative_to(os.getcwd()) if OUTPUT.is_relative_to(os.getcwd()) else OUTPUT}: {len(data)} bytes")


if __name__ == "__main__":
    main()
