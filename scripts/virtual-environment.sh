#!/usr/bin/env bash
# Makes the virtual environment and installs hashed locks: virtual-environment.sh PYTHON DIRECTORY LOCK...
set -euo pipefail
directory=$2
"$(dirname "$0")/check-clone.sh"
python=$("$(dirname "$0")/find-python.sh" "$1")
shift 2

"$python" - <<'PYTHON' || exit 1
import sys
if sys.version_info < (3, 11):
    sys.exit("Python %d.%d is too old: 3.11 or newer is needed. Name one: make up PYTHON=python3.13" % sys.version_info[:2])
PYTHON

# A new release of Debian removes the Python that the environment was made with.
if [ ! -x "$directory/bin/uv" ] || ! "$directory/bin/python" -c '' 2>/dev/null; then
    echo "==> Virtual environment $directory ($("$python" --version))"
    "$python" -m venv --clear "$directory"
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --requirement requirements/bootstrap.txt
fi
echo "==> Packages of ${*##*/}"
locks=()
for lock in "$@"; do locks+=(--requirement "$lock"); done
# Whom the system trusts, uv is to trust as well: networks of companies have authorities of their own.
trust=()
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then trust=(--system-certs); fi
# Compiled at once: every task of a playbook starts an interpreter, and some machines forbid it to keep bytecode.
"$directory/bin/uv" pip install --quiet "${trust[@]}" --compile-bytecode --python "$directory/bin/python" --require-hashes "${locks[@]}"
