#!/usr/bin/env bash
# Tests the patches of the server with the MLflow of a lock, and records what they rely on in it.
# Nothing of the record is left of a failure. The lock's packages come first, the tests' own after them.
set -euo pipefail
lock=$(realpath "$1")
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH

environment=.cache/release-$(sha256sum "$lock" | cut -c1-16)
python=$environment/bin/python
record=""
trap 'rm -rf "$environment"' EXIT
uv venv --quiet --no-project --clear --python=.venv/bin/python "$environment"
uv pip sync --quiet --require-hashes --python="$python" "$lock"

version=$("$python" -c 'from importlib.metadata import version; print(version("mlflow"))')
record=server/mlflow_host/fences/releases/$version.json
if [ -e "$record" ]; then
    echo "==> $record exists: the tests compare it with the installed release"
else
    "$python" scripts/record_release.py
    trap 'rm -rf "$environment" "$record"' EXIT
fi
"$python" server patches | .venv/bin/python -c '
import json, sys
breaches = json.load(sys.stdin)
for patch, reasons in breaches.items():
    for reason in reasons:
        print(f"{patch}: {reason}", file=sys.stderr)
sys.exit(any(breaches.values()))' || {
    echo "Adapt the patch, or its fence in server/mlflow_host/fences/__init__.py" >&2
    exit 1
}
packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -c 'import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main(sys.argv[1:]))' \
    "$packages" --quiet -p no:cacheprovider tests/server/answers/test_{json,runs,bridge}.py
trap 'rm -rf "$environment"' EXIT
