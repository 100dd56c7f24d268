# Everything sets itself up: a virtual environment in .venv with the pinned dependencies.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
KEEP ?= 0

.PHONY: help demo test lint types imports format docs bench crash faults fuzz conformance prowler clean check

help:
	@echo "make demo    set up and play the whole story; KEEP=1 leaves the server running"
	@echo "make test    set up and run the tests"
	@echo "make check   lint, strict types, import contracts, tests: what CI runs"
	@echo "make bench   figures against nginx, moto and ministack (Debian: needs nginx and wrk)"
	@echo "make crash   kill -9 under load, again and again (ROUNDS=50)"
	@echo "make fuzz    100,000 requests that nobody would send (REQUESTS=1000 SEED=7)"
	@echo "make faults  a log bucket that is deleted, a disk that is full, a wrong clock, kills (ROUNDS=20)"
	@echo "make conformance S3TESTS=dir   ceph/s3-tests, of which dir holds a copy, against a fresh server"
	@echo "make prowler  Prowler's CloudTrail checks on a good trail, a bad one and none"
	@echo "make docs    rewrite the generated pages of the docs"

$(READY): requirements/dev.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	KEEP=$(KEEP) $(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/python -m tests.clients.environments
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports --config importlinter.toml

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(READY)
	$(BIN)/python -m opentrail.server.reference docs/reference

check: lint types imports test

bench: $(READY)
	$(BIN)/python -m bench

crash: $(READY)
	$(BIN)/python -m tests.crash --rounds $(or $(ROUNDS),50)

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --requests $(or $(REQUESTS),100000) $(if $(SEED),--seed $(SEED))

faults: $(READY)
	FAULT_ROUNDS=$(or $(ROUNDS),20) $(BIN)/python -m pytest tests/faults -v --timeout 600

conformance: $(READY)
	$(BIN)/python -m tests.conformance --suite $(or $(S3TESTS),$(error give S3TESTS=dir, a copy of github.com/ceph/s3-tests))

prowler: $(READY)
	$(BIN)/python -m tests.prowler

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build
