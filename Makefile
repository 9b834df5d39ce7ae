# Each target makes or reuses .venv by itself; only Python >= 3.11 with pip is needed.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/demo
SEED ?= 0

.PHONY: demo test check bench soak clean

demo: .venv/.installed
	$(BIN)/evolve run experiments/merge_stories.py --seed $(SEED) --out $(RUN)
	$(BIN)/evolve show $(RUN)

test: .venv/.installed
	$(BIN)/python -m pytest -m "not soak"

check: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed
	$(BIN)/python -m experiments.benchmarks.merge_realise
	$(BIN)/python -m experiments.benchmarks.merge_search

soak: .venv/.installed
	$(BIN)/python -m pytest -m soak -s

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "evolve needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--config-settings editable_mode=compat -e '.[plots,dev]'
	touch $@

clean:
	rm -rf .venv runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache
