#!/usr/bin/env bash
# The whole platform on this machine, an example applied, a request answered; until Ctrl-C.
# Called by `make demo`, which says where the binary and Envoy are.
set -euo pipefail
cd "$(dirname "$0")/.."
margrave=${MARGRAVE_BIN:?call me through: make demo}
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -z "${NO_COLOR:-}" ] && [ -t 1 ] || say() { printf '\n%s\n' "$*"; }

# What was started here is ended here, once and in order, however this ends: with a process group each, Ctrl-C reaches
# this script alone.
set -m
started=()
finish() {
  trap - EXIT INT TERM
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
}
trap finish EXIT
trap 'exit 130' INT TERM

say '$ ./margrave sample-backend --port 3000'
"$margrave" sample-backend --port 3000 & started+=($!)

say '$ ./margrave dev'
"$margrave" dev --log warn & platform=$!; started+=("$platform")
endpoint() { sed -n "s/.*\"$1\": \"\(.*\)\".*/\1/p" .margrave/endpoints.json; }
until [ -e .margrave/endpoints.json ] && curl --silent --fail --output /dev/null "$(endpoint metrics)/readyz"; do
  kill -0 "$platform" 2>/dev/null || { wait "$platform"; exit 1; }
  sleep 0.1
done

say '$ ./margrave apply -f examples/minimal.yaml'
"$margrave" apply -f examples/minimal.yaml

internal=$(endpoint internal)
say "\$ curl http://hello.localhost:${internal##*:}/"
curl --silent --show-error --fail --resolve "hello.localhost:${internal##*:}:127.0.0.1" \
  "http://hello.localhost:${internal##*:}/"

say 'That request went through Envoy. Edit examples/minimal.yaml and apply it again, or try:'
cat <<'END'
  ./margrave apply -f examples/shop.yaml     a public service with routes of its own
  ./margrave list                            what there is
  ./margrave status hello                    how it stands
  ./margrave render hello                    the Envoy resources that it becomes
Ctrl-C stops everything; its state stays in .margrave.
END
wait "$platform"
