#!/usr/bin/env bash
# Runs the tests on the newest CPython that Debian has, which is that of sid, on a Debian of another version. sid is laid
# into a folder by debootstrap and entered by chroot. Needs Linux, root, debootstrap and about 3 GB. No part of .ci/run.
#
#   sudo tools/newest-python.sh                               all tests
#   sudo tools/newest-python.sh tests/journal -k "not kill"   what pytest is told
#   sudo NEWEST_PYTHON=3.14 tools/newest-python.sh            another Python that sid has
#   sudo NEWEST_FOLDER=/var/tmp/sid tools/newest-python.sh    where sid is kept for the next time; default: ~/.cache/...
#   sudo NEWEST_MIRROR=URL tools/newest-python.sh             a mirror of Debian in place of debootstrap's own choice
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${NEWEST_FOLDER:-${XDG_CACHE_HOME:-$HOME/.cache}/lionpride-sid}
mirror=${NEWEST_MIRROR:-}
[ $# -gt 0 ] || set -- -n auto --dist worksteal

fail() { printf 'newest-python.sh: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || fail "run it as root"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
if [ -z "${NEWEST_INSIDE:-}" ]; then  # once more, where mounts and processes are gone at the end, whatever happens
    NEWEST_INSIDE=1 exec unshare --mount --propagation private --pid --fork --kill-child -- "$BASH" "$0" "$@"
fi

in_sid() { env HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$folder" "$@"; }

marker=$folder/.of-newest-python
if [ -e "$folder" ] && [ ! -e "$marker" ] && [ -n "$(ls -A "$folder")" ]; then
    fail "$folder is not empty, and nothing of this script"
fi
if [ "$(cat "$marker" 2>/dev/null)" != complete ]; then
    rm -rf --one-file-system "$folder"
    mkdir -p "$folder"
    echo begun >"$marker"
    debootstrap --variant=minbase sid "$folder" ${mirror:+"$mirror"}
    echo complete >"$marker"
fi
mount -t proc proc "$folder/proc"
mount --rbind /dev "$folder/dev"
mount -t tmpfs tmpfs "$folder/tmp"

# A mirror that is behind has a list that has expired. That matters for a machine that stays up, not for these tests.
cp /etc/resolv.conf /etc/hosts "$folder/etc/"
in_sid apt-get -q -o Acquire::Check-Valid-Until=false update
python=python${NEWEST_PYTHON:-$(in_sid apt-cache pkgnames python3. | grep -oP '^python\K3\.\d+$' | sort -V | tail -1)}
in_sid apt-get install -y -q --no-install-recommends "$python" "$python-venv" procps ca-certificates
in_sid "$python" -VV

# Whom this machine trusts, sid trusts too: a copy, since what sid's packages do must not reach this machine.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    cp --remove-destination "$(readlink -f /etc/ssl/certs/ca-certificates.crt)" "$folder/etc/ssl/certs/ca-certificates.crt"
fi

# The files that git knows, as they are now. The environment is made anew: what it has depends on them.
rm -rf --one-file-system "$folder/src" "$folder/venv"
mkdir "$folder/src"
git -c safe.directory="$PWD" ls-files -z | xargs -0 cp --parents -t "$folder/src" --
in_sid "$python" -m venv /venv
in_sid env -C /src /venv/bin/pip install -q -e '.[test]'
in_sid env -C /src PATH="/venv/bin:$PATH" python -m pytest -q "$@"  # tests call python3, which sid has not
