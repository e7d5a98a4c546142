#!/usr/bin/env bash
# Prepares this checkout: installs what is missing of Debian's packages, and ingestd with its tools into .venv.
#
# Quick when nothing is missing. It starts no service and removes no package: Debian's mariadb-server-core holds the
# server programs alone, and a MariaDB that already runs on this machine is neither used nor restarted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
STAMP=$VENV/.installed
PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec

main() {
  local needed useful
  mapfile -t needed < <(needed_packages)
  mapfile -t useful < <(useful_packages)
  install_packages "${needed[@]}" || true
  install_packages "${useful[@]}" \
    || say "without rclone, fuse3 and chromium tests are skipped; without mate-backgrounds the demo needs MEDIA=folder"
  demand_mariadb
  is_installed || install_ingestd
  have_tools promtool prometheus || unpack_prometheus || say "without Debian's prometheus the tests of alerts are skipped"
}

# Packages

needed_packages() {
  have mariadbd mariadb-install-db || echo mariadb-server-core
  have my_print_defaults || echo mariadb-client-core
  [[ -x $VENV/bin/python ]] || usable_python >/dev/null || printf '%s\n' python3 python3-venv
}

useful_packages() {
  have rclone || echo rclone
  have fusermount3 || echo fuse3
  have chromium || echo chromium
  [[ -d /usr/share/backgrounds/mate ]] || echo mate-backgrounds
  [[ -z ${SYSTEMD_TESTS:-} ]] || systemd_test_packages
}

# Only for `make test-systemd`.
systemd_test_packages() {
  have debootstrap || echo debootstrap
  have systemd-nspawn || echo systemd-container
}

# Prometheus is only unpacked, for the tests: installed, it would start a service.
unpack_prometheus() {
  have apt-get dpkg-deb || return 1
  local folder
  folder=$(mktemp -d)
  say "unpacking prometheus into $VENV"
  (cd "$folder" && { apt-get download -qq prometheus 2>/dev/null \
    || { may_install && as_root apt-get update -qq && apt-get download -qq prometheus; }; }) >/dev/null \
    && dpkg-deb -x "$folder"/prometheus_*.deb "$folder" \
    && cp "$folder"/usr/bin/prom{etheus,tool} "$VENV/bin/"
  local status=$?
  rm -rf "$folder"
  return $status
}

have_tools() {
  local program
  for program; do have "$program" || [[ -x $VENV/bin/$program ]] || return 1; done
}

install_packages() {
  (($#)) || return 0
  if ! have apt-get || ! may_install; then
    say "please install, as root, the packages that Debian calls: $*"
    return 1
  fi
  say "installing $*"
  apt_install "$@" 2>/dev/null || { as_root apt-get update -qq && apt_install "$@"; } && return
  say "apt-get could not install: $*"
  return 1
}

# --no-remove: nothing that is there, such as another make of MySQL, has to go. The variable keeps Debian's needrestart
# from restarting anything.
apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get install -y -qq --no-install-recommends --no-remove "$@" >/dev/null
}

may_install() {
  ((EUID == 0)) || { have sudo && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; }
}

as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

demand_mariadb() {
  have mariadbd mariadb-install-db my_print_defaults && return
  say "MariaDB's server programs are missing: install mariadb-server-core and mariadb-client-core, 10.6 or newer"
  exit 1
}

# The environment

is_installed() {
  [[ -e $STAMP && $STAMP -nt setup.cfg && $STAMP -nt pyproject.toml && -x $VENV/bin/ingestd ]] \
    && $VENV/bin/python -c '' 2>/dev/null
}

install_ingestd() {
  if ! $VENV/bin/python -m pip --version >/dev/null 2>&1; then
    make_venv
  fi
  say "installing ingestd and its tools into $VENV; this takes a minute the first time"
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
  touch "$STAMP"
}

make_venv() {
  local python
  python=$(usable_python) || {
    say "Python 3.11 or newer with its venv module is missing: install python3 and python3-venv"
    exit 1
  }
  say "making $VENV with $("$python" --version)"
  "$python" -m venv --clear "$VENV"
}

# The first Python that is new enough and can make an environment.
usable_python() {
  local python
  for python in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if have "$python" && "$python" -c \
      'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}

have() {
  local program
  for program; do command -v "$program" >/dev/null || return 1; done
}

say() {
  echo "setup: $*" >&2
}

main
