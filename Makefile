# Every habit is one word. `make` alone lists them.

PY := .venv/bin/python
MEDIA ?=
DESTDIR ?=
PREFIX ?= /usr
PYTHON ?=
ONCE ?=
TEST ?= tests/unit
ONLY ?=
QUICK ?=
JSON ?=
UPDATE ?=
# How many processes share the tests; they wait more than they work.
JOBS ?= $(shell nproc | awk '{ jobs = $$1 * 2; print (jobs > 8 ? 8 : jobs) }')
PARALLEL = -n $(JOBS) --dist worksteal
# Tests start hundreds of daemons, commands and helpers: where this is set, each would compile the whole package.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test watch soak test-systemd cover check bench screenshots lock install clean

help:
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## prepare this checkout: what is missing of Debian's packages, and ingestd in .venv
	@contrib/setup.sh

setup-dev: ## the same, with the tools of tests, checks and benchmarks, which call it themselves
	@contrib/setup.sh dev

demo: setup ## import real photographs with the real daemon; MEDIA=folder for your own, ONCE=1 to stop when done
	@$(PY) contrib/demo/demo.py $(if $(MEDIA),--media "$(MEDIA)") $(if $(ONCE),--once)

test: setup-dev ## run all tests against a private MariaDB
	@$(PY) -m pytest $(PARALLEL)

watch: setup-dev ## run the tests of TEST=file now and after every save, until Ctrl-C
	@mkdir -p .cache; while touch .cache/watched; do \
		$(PY) -m pytest --quiet --no-header $(TEST); \
		until [ -n "$$(find daemon sql tests -type f -newer .cache/watched -not -name '*.pyc' -print -quit)" ]; do sleep 0.3; done; \
	done

soak: setup-dev ## run the tests that can be larger, such as those of random input, at full size
	@SOAK=1 $(PY) -m pytest $(PARALLEL) -m soak --timeout 600

test-systemd: setup-dev ## run the installed service under a real systemd, in a container; as root, takes some minutes
	@SYSTEMD_TESTS=1 contrib/setup.sh dev
	@$(PY) -m pytest -m systemd tests/systemd

cover: setup-dev ## the same in more time, with the coverage; fails below 95 %, lines are in build/cover/index.html
	@$(PY) -m pytest $(PARALLEL) --cov=ingestd --cov-report=term --cov-report=html:build/cover

check: setup-dev ## lint, types, import layers, plain words, and a wheel that holds every SQL file
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m pytest --quiet --no-header tests/unit/test_words.py tests/unit/test_packaging.py tests/unit/test_locks.py

bench: setup-dev ## measure the figures of docs/performance.md; ONLY="7 8" for some lines, QUICK=1 as in CI, JSON=1, UPDATE=1 to write the page
	@$(PY) benchmarks/run.py $(if $(QUICK),--quick) $(if $(JSON),--json) $(if $(UPDATE),--update) $(ONLY)

screenshots: setup-dev ## retake the screenshots in docs/img, with Chromium
	@PYTHONPATH=tests $(PY) tests/browser/screenshots.py

lock: setup-dev ## renew the versions and hashes in requirements/; ONLY="package ..." renews those alone
	@$(PY) contrib/lock.py $(ONLY)

install: ## install the program and its service: DESTDIR= for an image, PREFIX= for elsewhere than /usr
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" $(if $(PYTHON),PYTHON="$(PYTHON)") contrib/systemd/install.sh

clean: ## remove the environment and everything that was built
	@rm -rf .venv .demo .bench build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis .cache daemon/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
