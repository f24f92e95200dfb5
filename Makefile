# flexcore: `make demo` is the shortest way to see it run; `make help` lists the rest.

PYTHON ?= python3
N       = 100
VENV   := .venv
BIN    := $(VENV)/bin

# Set-up runs once and again when one of these changes. The build stamp follows what is
# generated or compiled, the others what has to be installed.
SOURCES := setup.py $(wildcard protos/flexcore/v1/*.proto src/flexcore/_[rw]*.p*)

PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

# What a target needs is listed in pyproject.toml, nowhere else.
define REQUIREMENTS
import sys, tomllib
table = tomllib.load(open("pyproject.toml", "rb"))
project = table["project"]
lists = {
    "build": table["build-system"]["requires"],
    "run": project["dependencies"] + project["optional-dependencies"]["dev"],
}
print(*lists[sys.argv[1]], sep="\n")
endef
export REQUIREMENTS

TARGET ?= make $(or $(firstword $(MAKECMDGOALS)),help)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-quick lint format bench bench-routing bench-streams crash power sim streams leaks debug wheel clean distclean
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) \
	  | awk -F'|' '{ printf "  make %-13s %s\n", $$1, $$2 }'

# The compiler works while the dependencies are downloaded.
setup:  ## create .venv, install what is needed, build
	@$(MAKE) --no-print-directory -j2 TARGET="$(TARGET)" \
	  $(VENV)/installed.stamp $(VENV)/built.stamp

demo: setup  ## run a contact center with agents and customers in this terminal
	@$(BIN)/flexcore demo

# A file stays in one process, so that what its tests share is made once. Files go in their
# own order, the long ones of tests/api to tests/simulation before the short ones of
# tests/unit: by itself xdist would begin with those of many tests and end with the longest.
test: setup  ## run the whole test suite, a process per core
	@$(BIN)/python -m pytest --benchmark-disable -n auto --dist loadfile \
	  --no-loadscope-reorder

test-quick: setup  ## run the tests of the parts: half a minute at most
	@$(BIN)/python -m pytest -q -m "not slow" tests/unit tests/contract

lint: setup  ## check style, types, layers and protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint

format: setup  ## format the sources
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --select I -q .

bench: setup  ## run the benchmarks: data structures, then the whole process
	@$(BIN)/python -m pytest benchmarks -q --benchmark-only \
	  --benchmark-group-by=group --benchmark-columns=median,iqr,rounds
	@$(BIN)/python -m benchmarks

bench-routing: setup  ## compare the matcher with C++ and Python: under 5 minutes
	@$(BIN)/python -m benchmarks routing

bench-streams: setup  ## hold 10,000 agents' streams and see what they cost: 6 minutes
	@$(BIN)/python -m benchmarks stream session

crash: setup  ## kill the server N times and check what it kept (N=100)
	@$(BIN)/python -m tests.simulation.crash --runs $(N)

power: N = 300
power: setup  ## cut the power N times and check what the disk kept (N=300)
	@$(BIN)/python -m tests.simulation.power --images $(N)

sim: setup  ## simulate an hour of work and check it (SEED=n SEEDS=1, or DAY=1)
	@$(BIN)/python -m tests.simulation.work $(if $(SEED),--seed $(SEED)) \
	  --seeds $(or $(SEEDS),1) $(if $(DAY),--day)

streams: setup  ## cut streams and check that they tell everything once (SEED=n)
	@$(BIN)/python -m tests.simulation.streams $(if $(SEED),--seed $(SEED))

leaks: setup  ## open and cancel 100,000 streams and see that nothing is left (SEED=n)
	@$(BIN)/python -m tests.simulation.leaks $(if $(SEED),--seed $(SEED))

debug: $(VENV)/installed.stamp  ## rebuild the matcher with bounds and overflow checks
	@rm -f $(VENV)/built.stamp
	@FLEXCORE_DEBUG=1 $(BIN)/python setup.py -q build_ext --inplace

wheel: setup  ## build a wheel into dist/
	@rm -rf build/lib* build/bdist*
	@$(PIP) wheel --no-deps --no-build-isolation -w dist .
	@ls -1 dist/*.whl

clean:  ## remove what was built; keep .venv
	@rm -rf build dist src/*.egg-info $(VENV)/built.stamp \
	  .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .benchmarks
	@rm -f src/flexcore/*.so src/flexcore/v1/*_pb2*
	@find src tests -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## remove .venv and what npm installed too
	@rm -rf $(VENV) examples/node/node_modules

# The checks come before everything else: a build that fails after a minute of downloads
# for want of a compiler is a minute lost.
$(VENV)/created.stamp:
	@command -v "$${CC:-cc}" >/dev/null || command -v gcc >/dev/null || { \
	  echo "$(TARGET): no C compiler;" \
	    "on Debian or Ubuntu: apt install gcc python3-dev" >&2; exit 2; }
	@command -v "$${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || { \
	  echo "$(TARGET): no C++ compiler;" \
	    "on Debian or Ubuntu: apt install g++ python3-dev" >&2; exit 2; }
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(TARGET): no $(PYTHON);" \
	    "on Debian or Ubuntu: apt install python3 python3-venv" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(TARGET): $$($(PYTHON) -V) is too old; flexcore needs 3.11 or newer:" \
	    "make PYTHON=python3.11 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(TARGET): $(PYTHON) has no venv module;" \
	    "on Debian or Ubuntu: apt install python3-venv" >&2; exit 2; }
	@test -f "$$($(PYTHON) -c 'import sysconfig as s; print(s.get_path("include"))')/Python.h" || { \
	  echo "$(TARGET): $(PYTHON) has no headers (Python.h);" \
	    "on Debian or Ubuntu: apt install gcc python3-dev" >&2; exit 2; }
	@echo "[1/3] creating $(VENV) with $$($(PYTHON) -V)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/tools.stamp: $(VENV)/created.stamp pyproject.toml
	@echo "[2/3] installing the build tools"
	@$(PYTHON) -c "$$REQUIREMENTS" build >$(VENV)/build.txt
	@$(PIP) install -r $(VENV)/build.txt
	@touch $@

$(VENV)/installed.stamp: $(VENV)/tools.stamp
	@echo "[3/3] installing the dependencies (a minute or two when nothing is cached)"
	@$(PYTHON) -c "$$REQUIREMENTS" run >$(VENV)/run.txt
	@$(PIP) install -r $(VENV)/run.txt
	@touch $@

# Without build isolation: the tools of step 2 are downloaded once, not twice.
$(VENV)/built.stamp: $(VENV)/tools.stamp $(SOURCES)
	@echo "[3/3] compiling flexcore at the same time"
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
