# Everything a person does with this repository. Needs Python 3.11+ and make; the rest is installed into .venv.
#   make run        start a broker on 127.0.0.1:9092, data below ./kwire-data   (ARGS="--port 9093 --ephemeral")
#   make test       the tests                                                   (LONG=1: the long form; T=tests/log: a part)
#   make history    histories of clients and faults, checked    (HISTORY_SECONDS=600: for how long; HISTORY_SEED=5)
#   make check      style, types, import and clock rules, generated documents
#   make compat     stock clients against kwire                                 (TARGET=kafka, TARGET=host:port, LONG=1)
#   make examples   the tests of examples/ on kwire                             (ARGS="--kafka HOST:PORT": on another broker)
#   make bench      kwire and Kafka in turn on this machine                     (ARGS="--rows produce-1k --runs 3")
#   make fmt        format the code and rewrite generated documents
#   make clean      remove what these made, but for kwire-data

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
TARGET ?= kwire
ARGS ?=
T ?= tests
JOBS ?= auto
LONG_FLAG := $(if $(LONG),--long)

# What `make test` leaves to `make history`.
APART := $(if $(filter tests,$(T)),--ignore=tests/history)
HISTORY_SECONDS ?= 10
HISTORY_SEED ?= 1

.PHONY: run test history check compat examples bench fmt clean
.DELETE_ON_ERROR:

run: $(STAMPS)/run
	@$(BIN)/python -m kwire serve $(ARGS)

test: $(STAMPS)/test
	@$(BIN)/python -m tools.kafka_jars
	$(BIN)/python -m pytest $(T) $(APART) -n $(JOBS) $(LONG_FLAG) $(ARGS)

history: $(STAMPS)/test
	HISTORY_SECONDS=$(HISTORY_SECONDS) HISTORY_SEED=$(HISTORY_SEED) $(BIN)/python -m pytest tests/history -n $(JOBS) $(LONG_FLAG) $(ARGS)

check: $(STAMPS)/check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.check_clock
	$(BIN)/python -m tools.coverage --check

compat: $(STAMPS)/compat
	$(BIN)/python -m pytest compat_tests --target $(TARGET) $(LONG_FLAG) $(ARGS)

examples: $(STAMPS)/compat
	$(BIN)/python -m pytest examples $(ARGS)

bench: $(STAMPS)/bench
	$(BIN)/python -m bench.run $(ARGS)

fmt: $(STAMPS)/check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m tools.coverage

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is as new as the last installation of what it names; pyproject.toml says what that is.
$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kwire needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/run: $(STAMPS)/venv pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(STAMPS)/test: $(STAMPS)/run
	$(BIN)/python -m pip install --quiet --group test
	@touch $@

$(STAMPS)/check: $(STAMPS)/run
	$(BIN)/python -m pip install --quiet --group test --group check
	@touch $@

$(STAMPS)/compat: $(STAMPS)/run
	$(BIN)/python -m pip install --quiet --group test --group compat
	@touch $@

$(STAMPS)/bench: $(STAMPS)/run
	$(BIN)/python -m pip install --quiet --group test --group compat --group bench
	@touch $@
