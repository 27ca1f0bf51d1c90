#!/usr/bin/env bash
# Checks that the programs of the environment can work where this clone is: check-clone.sh [DIRECTORY]
# Python's environments end a path at a colon and their activation runs `commands`; Ansible reads $NAME, {{ }} and
# the wildcards * ? [ in paths.
set -euo pipefail
clone=$(cd "${1:-.}" && pwd -P)

refuse() {
    printf 'clone: %q is not a valid directory: %s\n' "$clone" "$1" >&2
    exit 1
}

case $clone in
    *[[:cntrl:]:\$\`*?[]* | *'{{'* | *'{%'* | *'{#'*)
        refuse "its path contains one of : \$ \` * ? [ {{ {% {# or a control character. Move it to another path, such as ~/mlflow."
        ;;
esac

# The programs of an environment begin with its path. A new clone has no environment.
made=''
if [[ -f $clone/.venv/pyvenv.cfg ]]; then
    made=$(sed -n 's/^command = .* -m venv \(--[a-z-]* \)*//p' "$clone/.venv/pyvenv.cfg")
fi
if [[ -n $made && $(readlink -m "$made") != $(readlink -m "$clone/.venv") ]]; then
    refuse "its environment was made as $made. Remove it (rm -r .venv) and run this again."
fi
