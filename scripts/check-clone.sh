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
shopt -s nullglob
moved=() made=''
for configuration in "$clone"/.venv/pyvenv.cfg "$clone"/.venv-*/pyvenv.cfg "$clone"/.venv-*/*/pyvenv.cfg; do
    if [[ ! -f $configuration ]]; then continue; fi
    directory=${configuration%/pyvenv.cfg}
    path=$(sed -n 's/^command = .* -m venv \(--[a-z-]* \)*//p' "$configuration")
    if [[ -n $path && $(readlink -m "$path") != $(readlink -m "$directory") ]]; then
        moved+=("${directory#"$clone"/}")
        made=${made:-$path}
    fi
done
if ((${#moved[@]})); then
    refuse "its environment was made as $made. Remove it (rm -r ${moved[*]}) and run this again."
fi
