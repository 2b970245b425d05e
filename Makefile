# Two commands do everything on a fresh machine: 'make demo' and 'make test'.

PYTHON ?= python3
# Test processes; each computes on one thread, since the toys are too small for more.
JOBS ?= 2
# Options of the speed comparisons: of training, and of predicting.
BENCH ?=
BENCH_INFERENCE ?=

BIN := .venv/bin
READY := .venv/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo test test-faults coverage mutants bench lock

help:
	@echo 'make demo   install, then train, evaluate and predict on the sample that ships inside'
	@echo 'make test   install, then run every check'
	@echo 'make test-faults  install, then kill training at 30 moments (KILLS=30), each time resuming it'
	@echo 'make coverage  install, then run every test and count the branches of src that none takes'
	@echo 'make mutants   install, then change the plan, the runs and the proofs in hundreds of small ways (MUTANTS=plan)'
	@echo 'make bench  install, then measure training and predicting against the usual tools (BENCH="--rows 20000 …", BENCH_INFERENCE="…")'
	@echo 'make lock   renew requirements.lock'

# Inside .venv, so that whoever deletes the environment deletes the claim that it is ready.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("tightfit needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo 'installing into .venv; the first time this takes some minutes'
	@$(PYTHON) -m venv .venv
	@$(PIP) install -qq -r requirements.lock
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $@

# The predictions lie beside the run, not in it: a sealed run never changes.
demo: $(READY)
	$(BIN)/tightfit train --data sample --out runs/demo --overwrite
	$(BIN)/tightfit evaluate runs/demo --data sample:test
	$(BIN)/tightfit predict runs/demo --data sample:test --out runs/demo.csv --overwrite
	@echo
	@echo 'the run:         runs/demo'
	@echo 'its predictions: runs/demo.csv'

# Tests last: their closing line is the last word. They are offline by design; this makes sure.
test: $(READY)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/pytest -q -n $(JOBS)

# One process after the other: each moment costs two trainings of their own.
KILLS ?= 30
test-faults: $(READY)
	TIGHTFIT_KILLS=$(KILLS) HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/pytest -q tests/faults

# Slower than 'make test', since every line is counted; fails below the share in pyproject.toml.
coverage: $(READY)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/pytest -q -n $(JOBS) -o timeout=600 --cov

# An hour on one core; MUTANTS names parts of modules, such as plan or storage/. Of cosmic-ray only the
# operators are used, which need nothing else that is not here.
MUTANTS ?=
mutants: $(READY)
	@$(PIP) install -qq --no-deps cosmic-ray==8.7.0
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python scripts/mutants.py $(MUTANTS)

# Takes some minutes as it stands; 'python -m benchmarks.speed --help' and
# 'python -m benchmarks.inference --help' list the sizes.
bench: $(READY)
	$(BIN)/python -m benchmarks.speed $(BENCH)
	$(BIN)/python -m benchmarks.inference $(BENCH_INFERENCE)

lock: $(READY)
	$(BIN)/python scripts/lock.py
