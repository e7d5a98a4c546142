#!/usr/bin/env bash
# Installs ingestd below DESTDIR/PREFIX, for the python3 that is given: called by `make install`, on its own machine or
# for an image. It starts nothing, and changes no configuration that is there. The packages that it imports come from
# requirements/: exact versions, wheels only, each compared with its hash.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
umask 022

DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr}
PYTHON=${PYTHON:-/usr/bin/python3}
LIB=$PREFIX/lib/ingestd
SHARE=$PREFIX/share/ingestd

main() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  PYTHON=$(command -v "$PYTHON") || give_up "there is no Python at $PYTHON"
  new_enough "$PYTHON" || give_up "$PYTHON is older than 3.11"
  install_program
  install_launcher
  install_service
  install_configuration
  install_shared
  install_completion
}

new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'
}

# The folder holds all that the program needs, for this Python, and is replaced as a whole: a new version next to
# modules of the old one would be neither.
install_program() {
  local folder=$DESTDIR$LIB
  copy_source "$work/source"
  rm -rf "$folder.new" "$folder.old"
  mkdir -p "$folder.new"
  install_locked runtime "$folder.new"
  rm -rf "$folder.new/bin"
  install_locked build "$work/build"
  PYTHONPATH=$work/build run_pip install --quiet --no-warn-script-location --no-deps --no-build-isolation \
    --target "$folder.new" "$work/source"
  sed -i "1s|.*|#!$PYTHON|" "$folder.new/bin/ingestd"
  [[ ! -d $folder ]] || mv "$folder" "$folder.old"
  mv "$folder.new" "$folder"
  rm -rf "$folder.old"
}

install_locked() {
  run_pip install --quiet --no-warn-script-location --require-hashes --only-binary :all: \
    --requirement "requirements/$1.txt" --target "$2"
}

# What is built is a copy: leftovers of earlier builds in the checkout would be packed with it.
copy_source() {
  mkdir -p "$1"
  cp -R setup.cfg pyproject.toml README.md LICENSE sql daemon "$1"
  rm -rf "$1"/daemon/*.egg-info
}

# Debian's python3 may come without pip, but an environment of its own has one.
run_pip() {
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
  if "$PYTHON" -m pip --version >/dev/null 2>&1; then
    "$PYTHON" -m pip "$@"
    return
  fi
  [[ -x $work/venv/bin/pip ]] || "$PYTHON" -m venv "$work/venv" || give_up "pip is missing: install python3-venv"
  "$work/venv/bin/python" -m pip "$@"
}

# PYTHONPATH rather than a path set by the program: its helper processes need it as well.
install_launcher() {
  mkdir -p "$DESTDIR$PREFIX/bin"
  cat >"$work/launcher" <<END
#!/bin/sh
# Nothing but this folder and the system's Python: neither the user's own packages nor the present folder.
PYTHONPATH=$LIB PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
export PYTHONPATH PYTHONNOUSERSITE PYTHONSAFEPATH
unset PYTHONHOME PYTHONSTARTUP
exec $PYTHON $LIB/bin/ingestd "\$@"
END
  install -m 755 "$work/launcher" "$DESTDIR$PREFIX/bin/ingestd"
}

install_service() {
  sed "s|/usr/bin/ingestd|$PREFIX/bin/ingestd|; s|/usr/share/doc|$PREFIX/share/doc|" contrib/systemd/ingestd.service \
    >"$work/ingestd.service"
  install -D -m 644 "$work/ingestd.service" "$DESTDIR$PREFIX/lib/systemd/system/ingestd.service"
  install -D -m 644 contrib/systemd/ingestd.sysusers "$DESTDIR$PREFIX/lib/sysusers.d/ingestd.conf"
  install -D -m 644 contrib/systemd/ingestd.tmpfiles "$DESTDIR$PREFIX/lib/tmpfiles.d/ingestd.conf"
}

install_configuration() {
  local file=$DESTDIR/etc/ingestd/ingestd.toml
  [[ -e $file ]] || install -D -m 644 contrib/systemd/ingestd.toml "$file"
}

install_shared() {
  local folder
  mkdir -p "$DESTDIR$SHARE"
  for folder in prometheus grafana; do
    rm -rf "$DESTDIR${SHARE:?}/$folder"
    [[ ! -d contrib/$folder ]] || cp -R "contrib/$folder" "$DESTDIR$SHARE/"
  done
  install -m 644 contrib/systemd/ingestd.toml sql/grants.sql "$DESTDIR$SHARE/"
  install -D -m 644 -t "$DESTDIR$PREFIX/share/doc/ingestd" README.md CHANGELOG.md LICENSE docs/*.md
}

install_completion() {
  complete bash "$PREFIX/share/bash-completion/completions/ingestd"
  complete zsh "$PREFIX/share/zsh/vendor-completions/_ingestd"
  complete fish "$PREFIX/share/fish/vendor_completions.d/ingestd.fish"
}

complete() {
  local shell=$1 file=$DESTDIR$2
  mkdir -p "${file%/*}"
  _INGESTD_COMPLETE=${shell}_source PYTHONPATH=$DESTDIR$LIB PYTHONNOUSERSITE=1 \
    "$PYTHON" "$DESTDIR$LIB/bin/ingestd" >"$work/completion"
  install -m 644 "$work/completion" "$file"
}

give_up() {
  echo "install: $*" >&2
  exit 1
}

main
