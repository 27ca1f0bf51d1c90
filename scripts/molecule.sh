#!/usr/bin/env bash
# Runs the Molecule scenarios of the roles named: molecule.sh ROLE...
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD

eval "$(python -m local_aws env)"
for role in "$@"; do
    cd "$project/roles/$role"
    molecule test --all
done
