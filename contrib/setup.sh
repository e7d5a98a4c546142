#!/usr/bin/env bash
# Prepares this checkout: installs what is missing of Debian's packages, and ingestd into .venv.
#
#   contrib/setup.sh        what ingestd and its demo need
#   contrib/setup.sh dev    also what tests, checks and benchmarks need
#
# Python packages come from the lock files in requirements/: exact versions, wheels only, each compared with its hash.
# Quick when nothing is missing. It starts no service and removes no package: Debian's mariadb-server-core holds the
# server programs alone, and a MariaDB that already runs on this machine is neither used nor restarted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
LEVEL=${1:-runtime}
PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec

main() {
  [[ $LEVEL == runtime || $LEVEL == dev ]] || { say "unknown level $LEVEL: use runtime or dev"; exit 2; }
  install_missing needed_packages || true
  install_missing demo_packages || say "without mate-backgrounds the demo needs MEDIA=folder"
  demand_mariadb
  is_usable_venv || make_venv
  are_locked_packages_installed || install_locked_packages
  is_ingestd_installed || install_ingestd
  [[ $LEVEL != dev ]] || prepare_tests
}

prepare_tests() {
  install_missing test_packages || say "without rclone, fuse3 and chromium some tests are skipped"
  have_tools promtool prometheus || unpack_prometheus || say "without Debian's prometheus the tests of alerts are skipped"
}

# Packages

needed_packages() {
  have mariadbd mariadb-install-db || echo mariadb-server-core
  have my_print_defaults || echo mariadb-client-core
  [[ -x $VENV/bin/python ]] || usable_python >/dev/null || printf '%s\n' python3 python3-venv
}

demo_packages() {
  [[ -d /usr/share/backgrounds/mate ]] || echo mate-backgrounds
}

test_packages() {
  have rclone || echo rclone
  have fusermount3 || echo fuse3
  have chromium || echo chromium
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

# Takes the name of a function that prints packages.
install_missing() {
  local packages
  mapfile -t packages < <("$1")
  ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
}

install_packages() {
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

is_usable_venv() {
  $VENV/bin/python -m pip --version >/dev/null 2>&1
}

# What was installed is recorded by copies of the files that asked for it: a date would change with each checkout.
are_locked_packages_installed() {
  cmp -s "requirements/$LEVEL.txt" "$VENV/.$LEVEL.txt"
}

# dev.txt holds all of the other two, in the same versions.
install_locked_packages() {
  say "installing the packages of requirements/$LEVEL.txt into $VENV"
  if [[ $LEVEL == dev ]]; then
    pip_install --requirement requirements/dev.txt
  else
    pip_install --requirement requirements/build.txt --requirement requirements/runtime.txt
  fi
  cp requirements/runtime.txt "$VENV/.runtime.txt"
  cp "requirements/$LEVEL.txt" "$VENV/.$LEVEL.txt"
}

is_ingestd_installed() {
  [[ -x $VENV/bin/ingestd ]] && cat setup.cfg pyproject.toml | cmp -s - "$VENV/.ingestd"
}

# Without isolation it is built by the locked setuptools, not by whichever is the newest.
install_ingestd() {
  say "installing ingestd into $VENV"
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --editable .
  cat setup.cfg pyproject.toml >"$VENV/.ingestd"
}

pip_install() {
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: "$@"
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
