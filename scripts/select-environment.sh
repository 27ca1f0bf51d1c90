#!/usr/bin/env bash
# Makes .venv a link to an environment: select-environment.sh DIRECTORY
set -euo pipefail
cd "$(dirname "$0")/.."
directory=$1

if [ "$directory" = .venv ]; then exit; fi
# Clones from before there were two stacks have an environment there. Its programs name its path, so it cannot move.
if [ -d .venv ] && [ ! -L .venv ]; then
    echo "==> $directory takes the place of .venv, which becomes a link"
    rm -r .venv
fi
ln -sfn "$directory" .venv
