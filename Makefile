# `make demo` and `make test` set up .venv by themselves; nothing but Python 3.11 or newer is needed.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
N ?= 1000
SEED ?= 1
BENCH := --output benchmarks/results.json --plots docs/images --docs docs/performance.md

# The stamp's name holds a checksum of everything that the set-up depends on, so a second run is instant, and a changed
# requirement, a moved checkout or another Python starts from an empty .venv.
STAMP := $(VENV)/installed-$(shell (pwd; $(PYTHON) -V; cat pyproject.toml constraints.txt Makefile) 2>&1 | cksum | tr ' ' '-')

# libp2p pins fastecdsa 2.3.2, which ships no Linux wheel and wants a C compiler and libgmp. 3.0.1 ships wheels, and the part of it
# that libp2p needs for the Ed25519 keys used here is the same: none, beyond being importable.
FASTECDSA := fastecdsa==3.0.1

TESTS_OF_THEIR_OWN := attacks crash peers soak
# Tests of code alone, in which no process or clock is waited for, run two at a time.
PURE_TESTS := crdt fuzz patterns privacy protocols simnet/near simnet/test_releases.py simnet/test_virtual.py
NOTHING_YET = echo "$@: nothing here yet: comes with the next issue"

.PHONY: demo test lint format attacks crash peers contracts vocabulary soak bench setup constraints

demo: $(STAMP)
	$(VENV)/bin/mycelnode demo

test: $(STAMP)
	$(PY) -m pytest -n 2 $(PURE_TESTS:%=tests/%)
	$(PY) -m pytest $(foreach part,$(TESTS_OF_THEIR_OWN) $(PURE_TESTS),--ignore=tests/$(part))

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(STAMP)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

attacks: $(STAMP)
	@if [ -d tests/$@ ]; then $(PY) -m pytest tests/$@; else $(NOTHING_YET); fi

# Two at a time: each has a chain and folders of its own, and what is killed waits for a disk most of the time.
crash: $(STAMP)
	@if [ -d tests/$@ ]; then $(PY) -m pytest -n 2 tests/$@; else $(NOTHING_YET); fi

# A peer that can't be installed is named, and its tests are skipped, but for CI, where they fail.
peers: $(STAMP)
	@if [ -d tests/$@ ]; then $(PY) -m tests.peers.install; $(PY) -m pytest tests/$@; else $(NOTHING_YET); fi

# Only for who changes the contracts: what is deployed lies in contracts/res.
contracts: $(STAMP)
	contracts/check

# Only for who changes the public words: what ships lies in mycelnode/privacy/data. Wants Debian's apt, and npm.
vocabulary: $(STAMP)
	$(PY) -m vocabulary

soak: $(STAMP)
	@if [ -d tests/soak ]; then $(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r tests/soak/requirements.txt; \
	    MYCEL_SOAK_RUNS=$(N) MYCEL_SOAK_SEED=$(SEED) $(PY) -m pytest tests/soak; else $(NOTHING_YET); fi

bench: $(STAMP)
	@if [ -d benchmarks ]; then $(PY) -m tests.peers.install kubo; $(PY) -m benchmarks.install && $(PY) -m benchmarks $(BENCH); else $(NOTHING_YET); fi

setup: $(STAMP)

$(STAMP):
	$(PYTHON) -m venv --clear $(VENV)
	grep -v '^fastecdsa==' constraints.txt > $(VENV)/requirements.txt
	echo '$(FASTECDSA)' >> $(VENV)/requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r $(VENV)/requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	rm -rf $(VENV)/lib/python*/site-packages/trio-stubs # of trio-typing, which libp2p wants: it hides the types that trio itself has now
	touch $@

# Needs a C compiler and libgmp, for the very fastecdsa that libp2p pins.
constraints:
	$(PYTHON) -m venv --clear $(VENV)-constraints
	$(VENV)-constraints/bin/pip install --quiet -e '.[test,lint]' hatchling editables
	(head -n 1 constraints.txt; $(VENV)-constraints/bin/pip freeze --exclude-editable) > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-constraints
