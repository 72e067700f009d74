#!/bin/sh
# Runs every target for so many seconds: fuzz/run.sh [SECONDS] [TARGET...]. On stable Rust: the compiler's coverage counters are
# a pass of LLVM, and unsafe code, for which sanitizers would be, is forbidden here. What is found stays in fuzz/artifacts, what is
# worth keeping goes to fuzz/seeds.
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | tail -n +2)
target=${CARGO_TARGET_DIR:-../target}-fuzz
export CARGO_TARGET_DIR="$target"
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1" \
    cargo build --release --locked --target "$(rustc -vV | sed -n 's/^host: //p')"
# Stores are made and thrown away by the thousand: in memory, where there is such a folder.
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm
for name in "$@"; do
    corpus="$target/corpus/$name"
    mkdir -p "$corpus" "artifacts/$name"
    echo "== $name, $seconds s"
    "$target/$(rustc -vV | sed -n 's/^host: //p')/release/$name" "$corpus" "seeds/$name" \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="artifacts/$name/"
done
