# Two commands do everything on a fresh machine: 'make demo' and 'make test'.

PYTHON ?= python3
# Test processes; each computes on one thread, since the toys are too small for more.
JOBS ?= 2
# Options of the speed comparisons: of training, and of predicting.
BENCH ?=
BENCH_INFERENCE ?=

BIN := .venv/bin
# What 'make demo' needs, and what every other target needs besides.
TRAINING := .venv/installed-train
READY := .venv/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The tests are offline by design; this makes sure. Where a container forbids to keep compiled
# modules, each of the programs that they start would compile all of torch and transformers anew.
PYTEST := PYTHONDONTWRITEBYTECODE= HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false \
    $(BIN)/pytest -q
# 'make INSTALL=--pip …' goes without uv.
INSTALL ?=

.PHONY: help demo test test-all test-faults coverage mutants bench docs lock release-check

help:
	@echo 'make demo   install what trains, then train on the sample that ships inside, prove, evaluate and predict'
	@echo 'make test   install everything, then run every check'
	@echo 'make test-all  the same, then what is long by nature: test-faults and mutants'
	@echo 'make test-faults  install, then kill training at 30 moments (KILLS=30), each time resuming it'
	@echo 'make coverage  install, then run every test and count the branches of src that none takes'
	@echo 'make mutants   install, then change the plan, the runs and the proofs in hundreds of small ways (MUTANTS=plan)'
	@echo 'make bench  install, then measure training and predicting against the usual tools (BENCH="--rows 20000 …", BENCH_INFERENCE="…")'
	@echo 'make release-check  build the wheel, install it into empty environments, train and predict there'
	@echo 'make docs   install, then build the documentation, which opens from disk: site/index.html'
	@echo 'make lock   renew requirements.lock'

# Inside .venv, so that whoever deletes the environment deletes the claim that it is ready.
.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit("tightfit needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv
	@touch $@

$(TRAINING): .venv/python requirements.lock pyproject.toml
	@echo 'installing what trains into .venv; the first time this takes a minute or two'
	@$(BIN)/python scripts/install.py train $(INSTALL)
	@touch $@

$(READY): .venv/python requirements.lock pyproject.toml
	@echo 'installing everything into .venv; the first time this takes a minute or two'
	@$(BIN)/python scripts/install.py all $(INSTALL)
	@touch $(TRAINING) $@

demo: $(TRAINING)
	$(BIN)/tightfit train --data sample --max-steps 60 --out runs/demo --overwrite
	$(BIN)/tightfit evaluate runs/demo --data sample:test
	$(BIN)/tightfit predict runs/demo --text 'Stocks fell for a third day' \
	    --text 'Late goal sends the underdogs through' --text 'A new chip halves the power of phones'
	@echo
	@echo 'the run:          runs/demo'
	@echo 'the page on it:   runs/demo/report.html'
	@echo 'the model card:   runs/demo/adapter/README.md'
	@echo "more:             . .venv/bin/activate, then 'tightfit --help'"

# mypy beside the tests, since these leave a core idle at their end; its words come when they are done.
test: $(READY)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy > .venv/mypy.log 2>&1 & types=$$!; \
	    echo "$(PYTEST) -n $(JOBS)"; $(PYTEST) -n $(JOBS); tests=$$?; \
	    wait $$types; types=$$?; echo '$(BIN)/mypy'; cat .venv/mypy.log; exit $$((tests | types))

test-all: test test-faults mutants

# One process after the other: each moment costs two trainings of their own.
KILLS ?= 30
test-faults: $(READY)
	TIGHTFIT_KILLS=$(KILLS) TIGHTFIT_HOSTILE=10000 $(PYTEST) tests/faults

# Slower than 'make test', since every line is counted; fails below the share in pyproject.toml.
coverage: $(READY)
	$(PYTEST) -n $(JOBS) -o timeout=600 --cov

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

# Opens from disk: site/index.html. What builds it is needed for nothing else, and so not in the lock.
docs: $(READY)
	@$(PIP) install -qq -c requirements.lock mkdocs-material==9.8.2
	PYTHONPATH=scripts $(BIN)/mkdocs build --quiet --strict
	@echo 'the documentation: site/index.html'

lock: $(READY)
	$(BIN)/python scripts/lock.py

# Needs the package registry and no other network.
release-check: $(READY)
	@$(PIP) install -qq build==1.3.0
	HF_HUB_OFFLINE=1 $(BIN)/python scripts/release_check.py
