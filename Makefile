# Every habit is one word. `make` alone lists them.

PY := .venv/bin/python
MEDIA ?=
ONCE ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test cover check bench clean

help:
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## prepare this checkout: what is missing of Debian's packages, and ingestd in .venv
	@contrib/setup.sh

demo: setup ## import real photographs with the real daemon; MEDIA=folder for your own, ONCE=1 to stop when done
	@$(PY) contrib/demo/demo.py $(if $(MEDIA),--media "$(MEDIA)") $(if $(ONCE),--once)

test: setup ## run all tests against a private MariaDB; fails below 90 % coverage
	@$(PY) -m pytest --cov=ingestd --cov-report=term

cover: setup ## run all tests, and write the line-by-line coverage to build/cover/index.html
	@$(PY) -m pytest --cov=ingestd --cov-report=html:build/cover --cov-fail-under=0

check: setup ## lint, types, import floors, and a wheel that holds every SQL file
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m pytest --quiet --no-header tests/unit/test_packaging.py

bench: setup ## run benchmarks/, one figure after another
	@set -e; for figure in benchmarks/bench_*.py; do \
		[ -e "$$figure" ] || { echo "there are no benchmarks yet"; break; }; \
		echo "== $$figure"; $(PY) "$$figure"; \
	done

clean: ## remove the environment and everything that was built
	@rm -rf .venv .demo .bench build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis daemon/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
