# Every target sets itself up: a plain clone, Python 3.11 or later and make are enough.
#
#   make demo [ARGS=--once]   the main job on embedded mail hosts, told and checked step by step
#   make test                 every test not marked slow, against real servers where they can be had
#   make check                lint, format, types, floors
# More: make help

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
SECONDS ?= 60

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Some containers forbid bytecode: then each worker, and each of hundreds of programs, would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-slow peers guards check format fuzz bench bench-copy bench-crash bench-proxy bench-console pictures constraints clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1|/' | awk -F'|' '{ printf "%-19s%s\n", $$1, $$2 }'

demo: $(READY)  ## the story of one move on embedded hosts; ARGS=--once ends after it
	$(BIN)/mailferry demo $(ARGS)

test: peers  ## every test not marked slow; REQUIRE_PEERS=1 fails where a real server is missing
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: peers  ## the slow tests: all kills, all segmentations, long fuzzing
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow $(ARGS)

peers: $(READY)  ## unpack the real servers and clients that this machine lacks into .cache/peers
	@$(BIN)/python -m tests.kit.debian

guards: peers  ## take each guard of tests/guards.toml out in a copy; its test must fail
	$(BIN)/python -m tests.kit.guards $(ARGS)

check: $(READY)  ## lint, format, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q --durations=0 tests/test_floors.py

format: $(READY)  ## let ruff write the code as check wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(READY)  ## hostile octets for the parsers and dialogues, SECONDS=60 of them
	$(BIN)/python -m tests.kit.fuzz --seconds $(SECONDS) $(ARGS)

bench: bench-copy bench-crash bench-proxy bench-console  ## every bench, one after the other; ARGS=--write puts the tables into docs/benchmarks.md

bench-copy: peers  ## copies beside mbsync, dsync, getmail6 and $$IMAPSYNC; ARGS="--set A --rounds 3 --write"
	$(BIN)/python -m bench.copy $(ARGS)

bench-crash: peers  ## kill -9 the copier some hundreds of times and compare; ARGS="--kills 300 --seed 1 --write"
	$(BIN)/python -m bench.crash $(ARGS)

bench-proxy: peers  ## logins, relaying and memory beside haproxy, nginx, Dovecot and perdition; ARGS="--rounds 3 --write"
	$(BIN)/python -m bench.proxy $(ARGS)

bench-console: peers  ## pages of the console over 100,000 accounts on both databases; ARGS="--times 20 --write"
	$(BIN)/python -m bench.console $(ARGS)

pictures: peers  ## the pictures of docs/images, taken by the browser tests
	MAILFERRY_PICTURES=docs/images $(BIN)/python -m pytest -q -m "slow or not slow" tests/browser -k "life or phone or minutes" $(ARGS)

constraints: $(READY)  ## choose the newest versions that fit and write them, hashed, to constraints.txt and requirements.txt
	rm -rf .cache/lock && mkdir -p .cache/lock/src/mailferry
	cp pyproject.toml README.md LICENSE .cache/lock/ && cp src/mailferry/__init__.py .cache/lock/src/mailferry/
	test -x .cache/uv/bin/uv || { "$$(cat $(READY))" -m venv .cache/uv && .cache/uv/bin/python -m pip install -q uv; }
	cd .cache/lock && UV_PYTHON_DOWNLOADS=never ../uv/bin/uv lock -q --python "$(CURDIR)/$(BIN)/python"
	for kind in "constraints.txt" "requirements.txt --no-dev"; do (cd .cache/lock && \
		UV_PYTHON_DOWNLOADS=never ../uv/bin/uv export -q --python "$(CURDIR)/$(BIN)/python" --no-emit-project --all-extras \
		--format requirements-txt --no-header -o $$kind); done
	! grep -n '://' .cache/lock/constraints.txt .cache/lock/requirements.txt
	cp .cache/lock/constraints.txt .cache/lock/requirements.txt . && rm -rf .cache/lock

clean:  ## remove everything that make has made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build src/*.egg-info .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first interpreter that is new enough and can make a virtual environment is taken.
$(READY): constraints.txt pyproject.toml
	@python=; \
	for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$("$$name" -c 'import sys; print(sys._base_executable)'); break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'Python 3.11 or later with venv is needed; on Debian: apt-get install python3 python3-venv' >&2; exit 1; \
	fi; \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$python"; "$$python" -m venv --clear $(VENV); \
	fi; \
	echo 'installing the dependencies named in constraints.txt'; \
	$(BIN)/python -m pip install -q --require-hashes -r constraints.txt; \
	$(BIN)/python -m pip install -q --no-deps -e .; \
	echo "$$python" >$(READY)
