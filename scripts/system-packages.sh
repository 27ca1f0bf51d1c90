#!/usr/bin/env bash
# Installs the Debian packages that local AWS needs, with `test` those of `make test` as well, and with `test-full` those of
# `make test-full`: system-packages.sh [test|test-full]
# Nothing is started; says what it installs and why; does and says nothing when all is there.
set -euo pipefail
mode=${1:-}
python=${PYTHON:-python3}
python=$("$(dirname "$0")/find-python.sh" "$python" 2>/dev/null || echo "$python")
# Where programs lie that no one calls by hand, under Debian's and under others' names.
export PATH=$PATH:/usr/sbin:/sbin:/usr/lib/podman:/usr/libexec/podman

# package:program:why
wanted=(
    podman:podman:'hosts, databases and functions run in containers'
    runc:runc:'the runtime of the containers'
    crun:crun:'the runtime of the containers, on machines with cgroup v2'
    conmon:conmon:'watches the containers'
    netavark:netavark:'the networks of the containers'
    aardvark-dns:aardvark-dns:'belongs to netavark'
    iptables:iptables:'netavark sets its rules with it'
    nftables:nft:'security groups and public addresses'
    uidmap:newuidmap:'podman asks for it'
    mmdebstrap:mmdebstrap:'makes the image of the hosts'
    zstd:zstd:'unpacks the packages of the hosts'
    openssh-client:ssh:'the way into the hosts'
    curl:curl:'asks the metrics endpoint'
)
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    wanted+=(python3-venv:-:'makes the virtual environment')
fi
case $mode in
    '') ;;
    test | test-full)
        wanted+=(
            iproute2:tc:'slows down networks in the tests of faults'
            postgresql:pg_ctlcluster:'a database for the tests of the function'
            prometheus:promtool:'promtool checks the metrics'
            prometheus-blackbox-exporter:prometheus-blackbox-exporter:'data for the queries of the dashboards'
            prometheus-node-exporter:prometheus-node-exporter:'data for the queries of the dashboards'
            prometheus-postgres-exporter:prometheus-postgres-exporter:'data for the queries of the dashboards'
            shellcheck:shellcheck:'checks the scripts'
        )
        [[ $mode == test ]] || wanted+=(chromium:chromium:'a browser for the tests of the user interface')
        ;;
    *)
        echo "usage: ${0##*/} [test|test-full]" >&2
        exit 2
        ;;
esac

root=()
if ((EUID)); then
    command -v sudo >/dev/null || {
        echo "Local AWS makes hosts and networks, and only root may: run make as root, or install sudo." >&2
        exit 1
    }
    root=(sudo)
fi

missing=() reasons=() programs=()
for entry in "${wanted[@]}"; do
    IFS=: read -r package program why <<<"$entry"
    if ! command -v "$program" >/dev/null; then
        missing+=("$package")
        programs+=("$program")
        reasons+=("$(printf '  %-16s %s' "$package" "$why")")
    fi
done
((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
    echo "This machine has no apt. Install by hand what is missing, under whatever name it has here:" >&2
    printf '%s\n' "${reasons[@]}" >&2
    echo "The programs looked for: ${programs[*]}. Without mmdebstrap set LOCAL_AWS_BASE_IMAGE." >&2
    exit 1
fi

echo "==> Debian packages"
printf '%s\n' "${reasons[@]}"

# Packages that start a service when they are installed (prometheus) shall not: apt asks this program.
# A policy of the machine's own is left as it is.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap '"${root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod 755 "$policy"
fi
"${root[@]}" apt-get -qq update
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "${missing[@]}" >/dev/null
for package in "${missing[@]}"; do
    # Tests run the programs themselves. As services they would listen to the world from the next start of the machine on.
    [[ $package != prometheus* ]] || "${root[@]}" systemctl --quiet disable "$package.service"
done
