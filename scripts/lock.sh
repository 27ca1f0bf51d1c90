#!/usr/bin/env bash
# Renews requirements/*.txt from requirements/*.in. What is locked stays as it is unless the .in files ask for
# something else; pass --upgrade to take the newest of everything.
# With MLFLOW=<version> in the environment it locks that version of the server, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/../requirements"

compile() {
    local name=$1
    shift
    echo "==> $name"
    uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
        --custom-compile-command 'make lock' "$@" "$name.in" --output-file "$name.txt"
}

compile_host() {
    compile "$@" --universal --python-version 3.11
}

if [ -n "${MLFLOW:-}" ]; then
    if [[ ! $MLFLOW =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
        echo "MLFLOW: $MLFLOW is not a valid version: write three numbers, as in make lock MLFLOW=3.17.2" >&2
        exit 1
    fi
    # What surrounds it stays as in the newest lock, as far as this version allows. Nothing is left of a failure.
    trap 'rm -f server/new.in server/new.txt' EXIT
    printf -- 'mlflow[auth]==%s\n-r ../server.in\n' "$MLFLOW" >server/new.in
    printf '%s\n' server/[0-9]*.txt | sort --version-sort | tail -n 1 | xargs -I{} cp {} server/new.txt
    compile_host server/new "$@"
    # Patches are for releases that they were tested with (server/mlflow_host/fences).
    ../scripts/test-release.sh server/new.txt
    mv server/new.in "server/$MLFLOW.in"
    sed "s|server/new[.]in|server/$MLFLOW.in|" server/new.txt >"server/$MLFLOW.txt"
    exit
fi

# In the order in which they constrain each other.
for name in bootstrap control local_aws models; do compile_host "$name" "$@"; done
for lock in server/*.in; do compile_host "${lock%.in}" "$@"; done
compile_host test "$@"
# Clients of several releases, another server, auditors and the tool for releases pin a lot, and not the same: a lock for each, apart from all others.
for lock in audit/*.in clients/*.in others/*.in release.in; do compile_host "${lock%.in}" "$@"; done
compile lambda --python-version 3.13 --python-platform x86_64-manylinux_2_28 "$@"
# Programs for the images of databases, whose Debian has Python 3.13.
compile postgresql --universal --python-version 3.13 "$@"
