#!/usr/bin/env bash
# Installs what the real tier runs against, and nothing that is already there.
#
#   Debian:  nginx, Prometheus (with promtool), Node, strace, curl, jq, Python
#   PyPI:    requirements.txt, into target/real/venv
#
# Needs root (or sudo without a password) only where a Debian package is missing.
# No service is started: the scenarios start their own, on free ports of the loopback.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/real/venv

missing_packages() {
  local tool_package
  for tool_package in nginx:nginx-light prometheus:prometheus promtool:prometheus node:nodejs \
                      strace:strace curl:curl jq:jq python3:python3; do
    find_tool "${tool_package%%:*}" || echo "${tool_package##*:}"
  done | sort -u
  python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
}

# nginx lives in /usr/sbin, which is not on everybody's PATH.
find_tool() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian starts a service as soon as it is installed; a policy of 101 forbids it.
install_quietly() {
  local policy=/usr/sbin/policy-rc.d made_policy=no status=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made_policy=yes
  fi
  as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "$@" >/dev/null || status=$?
  [ "$made_policy" = no ] || as_root rm -f "$policy"
  return "$status"
}

packages=$(missing_packages)
if [ -n "$packages" ]; then
  echo "installing from Debian:" $packages
  # Word splitting is wanted: one word per package.
  # shellcheck disable=SC2086
  install_quietly $packages || {
    echo "error: could not install:" $packages >&2
    echo "hint: run once as root: apt-get install --no-install-recommends" $packages >&2
    exit 1
  }
fi

if ! cmp -s tests/real/requirements.txt "$venv/installed.txt"; then
  echo "installing from PyPI into $venv"
  rm -rf "$venv"
  mkdir -p "$(dirname "$venv")"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/real/requirements.txt
  cp tests/real/requirements.txt "$venv/installed.txt"
fi
echo "the parts of the real tier are installed"
