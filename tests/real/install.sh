#!/usr/bin/env bash
# Installs what the real tier runs against, and nothing that is already there.
#
#   Debian:  nginx, Prometheus (with promtool), Alertmanager, Node and its `ws`, strace, curl, jq,
#            openssl, Python, h2load, nghttp, nghttpd, testssl.sh, slowhttptest, Redis
#   PyPI:    requirements.txt, into target/real/venv
#            requirements-autobahn.txt, into target/real/autobahn, for the Python 2.7 that is found:
#            $PYTHON2, on the PATH, or of pyenv. Debian has none any more.
#            requirements-schemathesis.txt, into target/real/schemathesis
#
# Needs root (or sudo without a password) only where a Debian package is missing.
# No service is started: the scenarios start their own, on free ports of the loopback.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/real/venv

missing_packages() {
  local tool_package
  for tool_package in nginx:nginx-light prometheus:prometheus promtool:prometheus \
                      prometheus-alertmanager:prometheus-alertmanager node:nodejs \
                      strace:strace curl:curl jq:jq python3:python3 openssl:openssl \
                      h2load:nghttp2-client nghttp:nghttp2-client nghttpd:nghttp2-server \
                      testssl:testssl.sh slowhttptest:slowhttptest \
                      redis-server:redis-server redis-cli:redis-tools; do
    find_tool "${tool_package%%:*}" || echo "${tool_package##*:}"
  done | sort -u
  [ -e /usr/share/nodejs/ws ] || echo node-ws
  python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
}

# nginx lives in /usr/sbin, which is not on everybody's PATH.
find_tool() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian starts a service as soon as it is installed; a policy of 101 forbids it. Ours goes again,
# also when the installation is interrupted.
policy=/usr/sbin/policy-rc.d
install_quietly() {
  if [ ! -e "$policy" ]; then
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  patiently apt_get update && patiently apt_get install --no-install-recommends "$@"
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -y -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 "$@" >/dev/null
}

# patiently COMMAND…: mirrors have bad minutes; tries three times.
patiently() {
  local attempt
  for attempt in 1 2 3; do
    "$@" && return
    echo "attempt $attempt of 3 failed: $*" >&2
    [ "$attempt" = 3 ] || sleep $((attempt * 5))
  done
  return 1
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

# A venv whose Python was replaced is as good as none.
is_current() {
  cmp -s tests/real/requirements.txt "$venv/installed.txt" &&
    "$venv/bin/python" -c 'import uvicorn, sentry_relay, grpc, websockets, grafana_foundation_sdk' 2>/dev/null
}
if ! is_current; then
  echo "installing from PyPI into $venv"
  rm -rf "$venv"
  mkdir -p "$(dirname "$venv")"
  python3 -m venv "$venv"
  patiently "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/real/requirements.txt
  cp tests/real/requirements.txt "$venv/installed.txt"
fi
# find_python2: prints a Python 2.7 that can install packages.
find_python2() {
  local python
  for python in "${PYTHON2:-}" python2.7 python2 pypy "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python; do
    if [ -n "$python" ] && "$python" -c 'import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
  echo "error: the Autobahn suite needs a Python 2.7 with pip" >&2
  echo "hint: pyenv install 2.7.18, or name one: PYTHON2=/path/to/python2.7 make test" >&2
  return 1
}

autobahn=target/real/autobahn
if ! cmp -s tests/real/requirements-autobahn.txt "$autobahn/installed.txt" ||
   ! "$(cat "$autobahn/python" 2>/dev/null)" -c '' 2>/dev/null; then
  python2=$(find_python2)
  echo "installing Autobahn from PyPI into $autobahn"
  rm -rf "$autobahn"
  mkdir -p "$autobahn"
  # pip's complaint about its own age says nothing that the line above does not.
  PYTHONWARNINGS=ignore patiently "$python2" -m pip install --quiet --disable-pip-version-check --no-deps \
    --target "$autobahn/packages" -r tests/real/requirements-autobahn.txt 2> >(grep -v '^DEPRECATION' >&2)
  echo "$python2" >"$autobahn/python"
  cp tests/real/requirements-autobahn.txt "$autobahn/installed.txt"
fi

# Beside schemathesis, the published JSON Schema cases: they come with the source of a Python library.
schemathesis=target/real/schemathesis
if ! cmp -s tests/real/requirements-schemathesis.txt "$schemathesis/installed.txt" ||
   ! "$schemathesis/bin/python" -c 'import schemathesis' 2>/dev/null; then
  echo "installing schemathesis from PyPI into $schemathesis"
  rm -rf "$schemathesis"
  python3 -m venv "$schemathesis"
  patiently "$schemathesis/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    -r tests/real/requirements-schemathesis.txt
  patiently "$schemathesis/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps \
    --no-binary :all: --dest "$schemathesis" jsonschema==4.26.0
  tar -C "$schemathesis" -xzf "$schemathesis/jsonschema-4.26.0.tar.gz" jsonschema-4.26.0/json
  cp tests/real/requirements-schemathesis.txt "$schemathesis/installed.txt"
fi
echo "the parts of the real tier are installed"
