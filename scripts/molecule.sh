#!/usr/bin/env bash
# Runs Molecule scenarios: molecule.sh ROLE/SCENARIO... With MOLECULE_TESTS=slow only their slow tests.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD

# Written by local AWS where podman needs it on this machine.
configuration=${LOCAL_AWS_DIR:-$project/.local-aws}/containers.conf
if [ -e "$configuration" ]; then
    export CONTAINERS_CONF=${CONTAINERS_CONF:-$configuration}
fi
export PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-} -m '${MOLECULE_TESTS:-not slow}'"
for scenario in "$@"; do
    cd "$project/roles/${scenario%/*}"
    molecule test --scenario-name "${scenario#*/}"
done
