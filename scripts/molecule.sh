#!/usr/bin/env bash
# Runs the Molecule scenarios of the roles named: molecule.sh ROLE...
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD

# Written by local AWS where podman needs it on this machine.
configuration=${LOCAL_AWS_DIR:-$project/.local-aws}/containers.conf
if [ -e "$configuration" ]; then
    export CONTAINERS_CONF=${CONTAINERS_CONF:-$configuration}
fi
for role in "$@"; do
    cd "$project/roles/$role"
    molecule test --all
done
