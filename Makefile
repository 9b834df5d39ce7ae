# Each target makes or reuses .venv by itself; only Python >= 3.11 with pip is needed.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/demo
SEED ?= 0

.PHONY: demo test test-engine test-rest check bench soak clean

# A second `make demo` goes on where the first was stopped, or shows its result again.
demo: .venv/.installed
	if [ -e $(RUN)/ledger.sqlite ]; then $(BIN)/evolve resume $(RUN); \
	else $(BIN)/evolve run experiments/merge_stories.py --seed $(SEED) --out $(RUN); fi

# Two at a time: the engine's tests mostly wait, for nodes to die and for limits to pass.
test: .venv/.installed
	$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target test-engine test-rest

test-engine: .venv/.installed
	$(BIN)/python -m pytest -m "not soak" tests/evolve/engine

test-rest: .venv/.installed
	$(BIN)/python -m pytest -m "not soak" --ignore=tests/evolve/engine

check: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_house.py

# Runs that are in quality.csv, or in ledgers below runs/, are not made again.
bench: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--config-settings editable_mode=compat -e '.[plots,dev,robots,bench]'
	$(BIN)/python -m experiments.benchmarks.merge_realise
	$(BIN)/python -m experiments.benchmarks.merge_search
	$(BIN)/python -m experiments.benchmarks.selection
	$(BIN)/python -m experiments.benchmarks.selection --memory
	$(BIN)/python -m experiments.benchmarks.quality --workers 2
	$(BIN)/python -m experiments.benchmarks.quality --speed
	$(BIN)/python -m experiments.benchmarks.islands
	$(BIN)/python -m experiments.benchmarks.robot_control
	$(BIN)/python -m experiments.benchmarks.overhead
	$(BIN)/python -m experiments.benchmarks.overhead --resume
	$(BIN)/python -m experiments.benchmarks.utilisation
	$(BIN)/python -m experiments.benchmarks.simulation --births 100000
	$(BIN)/python -m experiments.benchmarks.sandbox_overhead
	$(BIN)/python -m experiments.benchmarks.circle_baseline
	$(BIN)/python -m experiments.benchmarks.code_search --seeds 8 --jobs 2
	$(BIN)/python -m experiments.benchmarks.depth_search
	$(BIN)/python -m experiments.benchmarks.compression --model stories --seeds 5 --jobs 2
	$(BIN)/python -m experiments.benchmarks.compression --model smollm --jobs 2
	$(BIN)/python -m experiments.benchmarks.compression_options --model smollm --jobs 2

soak: .venv/.installed
	$(BIN)/python -m pytest -m soak -s

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "evolve needs Python 3.11 or newer; set PYTHON=")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--config-settings editable_mode=compat -e '.[plots,dev,robots]'
	touch $@

clean:
	rm -rf .venv runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache
