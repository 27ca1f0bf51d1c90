#!/usr/bin/env bash
# Runs a command as root, because local AWS creates hosts and networks: as-root.sh COMMAND...
# sudo clears the environment, so this names the settings of local AWS and the proxies to it.
set -euo pipefail
if ((EUID == 0)); then
    exec "$@"
fi
# grep fails if none of them is set.
kept=$(compgen -e | grep -E '^(LOCAL_AWS_[A-Z0-9_]+|PIP_INDEX_URL|(HTTP|HTTPS|NO)_PROXY|(http|https|no)_proxy)$' | paste -sd, || true)
# The programs are those of the environment. A user could not remove bytecode that root has written into the clone.
exec sudo --preserve-env="$kept" env "PATH=$PATH" PYTHONDONTWRITEBYTECODE=1 "$@"
