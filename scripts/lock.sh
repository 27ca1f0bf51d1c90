#!/usr/bin/env bash
# Renews requirements/*.txt from requirements/*.in. What is locked stays as it is unless the .in files ask for
# something else; pass --upgrade to take the newest of everything.
set -euo pipefail
cd "$(dirname "$0")/../requirements"

compile() {
    local name=$1
    shift
    echo "==> $name"
    uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
        --custom-compile-command 'make lock' "$@" "$name.in" --output-file "$name.txt"
}

# In the order in which they constrain each other.
for name in bootstrap control local_aws models server test; do
    compile "$name" --universal --python-version 3.11 "$@"
done
compile lambda --python-version 3.13 --python-platform x86_64-manylinux_2_28 "$@"
