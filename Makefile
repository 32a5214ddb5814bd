# Two commands on a fresh machine: make demo, make test. Both need python3 >= 3.11, make and git, and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := config worker tasks gateway sandbox tests benchmarks

.PHONY: demo serve test check storm bench mutants lock install clean

install: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "unlinker needs Python 3.11 or newer; found: $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
	@echo "installing from requirements-dev.lock ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock || \
	  { echo "packages cannot be installed: is there a network, or a package index that pip is set up for?" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python -m gateway.demo

serve: $(STAMP)
	@$(BIN)/python -m gateway.demo serve

# two at once: most tests wait for processes of their own
test: $(STAMP)
	@$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# the long fault test; SEED repeats one, STORM_JOBS and STORM_KILLS set its size
storm: $(STAMP)
	@$(BIN)/python -m tests.faults.storm
	@$(BIN)/python -m tests.faults.bulk_storm

# every figure of docs/performance.md; ROWS names some of them, RUNS says how often. The peers get environments of their own
bench: $(STAMP) .bench/peers/.installed .bench/saq/.installed .bench/arq/.installed .bench/batches/.installed
	@$(BIN)/python -m benchmarks $(ROWS) --runs $(or $(RUNS),3)

# they do not agree on a version of redis-py
.bench/%/.installed: benchmarks/peers/requirements-%.lock
	@echo "installing the peers of the benchmark from $< ..."
	@$(PYTHON) -m venv .bench/$*
	@.bench/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# what no test notices, when it is changed: pure modules with mutmut, then the Lua scripts. PART=python or PART=lua does one
# of them, FILES names some (paths, or names of scripts), OPTIONS are told by `python -m tests.mutants --help`
mutants: $(STAMP) .mutants/venv/.installed
	@for part in $(or $(PART),python lua); do $(BIN)/python -m tests.mutants $$part $(FILES) $(OPTIONS) || exit 1; done

# mutmut runs the tests in its own process, so it has everything that they need
.mutants/venv/.installed: requirements-dev.lock tests/mutants/requirements.lock
	@echo "installing the mutation tester from tests/mutants/requirements.lock ..."
	@$(PYTHON) -m venv .mutants/venv
	@.mutants/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements-dev.lock -r tests/mutants/requirements.lock
	@touch $@

lock: $(STAMP)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra dev pyproject.toml -o requirements-dev.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --constraints requirements-dev.lock \
	  tests/mutants/requirements.in -o tests/mutants/requirements.lock
	@cd benchmarks/peers && for name in peers saq arq batches; do \
	  ../../$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 requirements-$$name.in -o requirements-$$name.lock; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
