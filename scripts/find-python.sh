#!/usr/bin/env bash
# Prints the path of the first Python that answers: find-python.sh PYTHON...
# A name is looked up on PATH, and then among the versions of pyenv, whose programs on PATH refuse all but the selected ones.
set -euo pipefail
shopt -s nullglob

for python in "$@"; do
    candidates=("$python")
    if [[ $python != */* ]]; then
        candidates+=("${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/*/bin/"$python")
    fi
    for candidate in "${candidates[@]}"; do
        if found=$("$candidate" -c 'import sys; print(sys.executable)' 2>/dev/null) && [ -n "$found" ]; then
            printf '%s\n' "$found"
            exit
        fi
    done
done
echo "PYTHON: '$*' is not a valid Python: no such program answers. Install it, or give its path: make up PYTHON=/usr/bin/python3.13" >&2
exit 1
