#!/usr/bin/env bash
# Prints the directory of the environment of a Python: environment-directory.sh [PYTHON]
# Each minor version has its own, so that both stacks of Ansible can exist side by side. `.venv` is a link to the
# one in use, or an environment itself; it stays unless PYTHON is given and another version than its own.
set -euo pipefail
cd "$(dirname "$0")/.."

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

if in_use=$(version_of .venv/bin/python) && [ $# = 0 ]; then
    echo .venv
    exit
fi
# An unknown Python is reported when its environment is made.
version=$(version_of "$(scripts/find-python.sh "${1:-python3}" 2>/dev/null)") || version=-unknown
if [ "$version" = "$in_use" ]; then
    echo .venv
else
    echo ".venv-python$version"
fi
