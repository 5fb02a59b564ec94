# make demo   breaks a replica of a small real system and shows what happened
# make test   lint and every test
# make lint   ruff, mypy, import contracts
# make docs   the documentation as a site, build/docs/index.html; a warning is an error
# make image  the container image, test-coordinator:VERSION and :latest (BASE_IMAGE=… picks another base)
# make simulate SEEDS=10000   more seeds of the simulations than `make test` runs
# make torture N=500   more rounds of killed coordinators than `make test` plays (SEED=… replays one)
# make test-vm   the fault tests in a Debian guest under QEMU: cgroup v2 with both of its drivers (VM_ARGS="tests/…")
# make fuzz SECONDS=600   texts that no scenario file should be, fed to what reads them
# make bench  measurements, printed as ratios to the bare docker command line
# make venv   the virtual environment only (make PYTHON=/path/to/python3.13 picks the interpreter)
# make clean  removes what the others made
# A missing Docker engine, Postgres or Redis is installed by apt as root; otherwise one line says what to type.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test lint docs image simulate torture test-vm bench venv format provision-demo provision-test clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_ARGS ?=

# The first that is 3.11 to 3.13; `python3` if none is, so that the error names what a person typed last.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && exit; \
	done; echo python3)

help:
	@sed -n 's/^# make/make/p' Makefile

venv: $(STAMP)
	@:

$(STAMP): pyproject.toml
	@tools/provision.sh python $(PYTHON)
	@test -x $(BIN)/python -a -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing the dependencies into $(VENV)" >&2
	@PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,docs]'
	@touch $@

provision-demo:
	@tools/provision.sh docker busybox

provision-test:
	@tools/provision.sh docker busybox postgres redis compose debootstrap netfilter haproxy chromium shells

demo: $(STAMP) provision-demo
	@$(BIN)/python demo/demo.py

# Both always run, so that one look shows everything; the tests come last, as their summary is what is read.
test: $(STAMP) provision-test
	@status=0; \
	$(MAKE) --no-print-directory lint || status=1; \
	$(BIN)/pytest $(PYTEST_ARGS) || status=1; \
	[ $$status = 0 ] || echo "make test: failed" >&2; \
	exit $$status

lint: $(STAMP)
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/mypy || status=1; \
	$(BIN)/lint-imports --no-logo --config setup.cfg --cache-dir .cache/import-linter || status=1; \
	exit $$status

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs build/docs
	@echo build/docs/index.html

VERSION = $(shell sed -n 's/^__version__.*"\(.*\)"/\1/p' coordinator/__init__.py)

image:
	@tools/provision.sh docker
	@$(PYTHON) tools/image.py --tag test-coordinator:$(VERSION) --tag test-coordinator:latest

SEEDS ?= 1000
simulate: $(STAMP)
	@$(BIN)/python -m tests.simulation.supervision --seeds $(SEEDS)
	@$(BIN)/python -m tests.simulation.executions --seeds $(SEEDS)
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation.crashes --seeds $(SEEDS) --most 10

N ?= 20
torture: $(STAMP) provision-test
	@$(BIN)/python -m tests.torture --rounds $(N) $(if $(SEED),--seed $(SEED))

VM_IMAGE ?= .cache/vm
test-vm: $(STAMP)
	@tools/provision.sh vm
	@$(BIN)/python tools/vm_image.py $(VM_IMAGE)
	@$(BIN)/python tools/vm.py $(VM_IMAGE) test $(VM_ARGS)

SECONDS ?= 60
fuzz: $(STAMP)
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
		|| $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@$(BIN)/python tools/fuzz.py --seconds $(SECONDS)

bench: $(STAMP) provision-test
	@set -e; for program in bench/*.py; do $(BIN)/python $$program; done

clean:
	rm -rf $(VENV) .cache build dist reports *.egg-info
	@docker image ls --filter label=test-coordinator.image --format '{{.Repository}}:{{.Tag}}' 2>/dev/null \
		| grep -v '<none>' | xargs -r docker image rm
	@docker image ls --quiet --filter label=test-coordinator.image --filter dangling=true 2>/dev/null \
		| xargs -r docker image rm 2>/dev/null || true
