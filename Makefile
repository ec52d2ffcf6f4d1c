# Everything that is run by hand, one target each; `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Byte-compiling gigabytes of packages at install time costs minutes; what a run imports is compiled
# by importing it once.
PIP    := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bundled-model bench-optimum bench-speed bench-gpu \
	bench-paths bench-growth bench-human bench-ui chaos fuzz soak goldens docs picture clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ppo-tui needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing ppo-tui into $(VENV) (the first time takes a while: torch is large) ..."
	@$(PIP) --editable .
	@$(BIN)/python -c 'import ppo_tui.training.session, peft, transformers.models.llama' >/dev/null 2>&1
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) --editable '.[dev]'
	@touch $@

install: $(VENV)/.installed ## Make .venv and install ppo-tui into it

demo: $(VENV)/.installed ## PPO-tune the bundled model, end to end, on any CPU
	@$(BIN)/ppo-tui demo --headless

test: $(VENV)/.installed-dev ## Run the tests
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

check: $(VENV)/.installed-dev ## Lint, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev ## Format the code and sort its imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bundled-model: $(VENV)/.installed-dev ## Build the bundled base model again, from nothing
	$(BIN)/python -m tools.bundled_model.build

bench-optimum: $(VENV)/.installed-dev ## Share of the optimum over seeds; writes benchmarks/results/
	$(BIN)/python -m benchmarks.bench_optimum $(ARGS)

bench-speed: $(VENV)/.installed-dev ## One PPO step against TRL's on the CPU; writes benchmarks/results/
	$(BIN)/python -m benchmarks.bench_speed $(ARGS)

bench-gpu: $(VENV)/.installed-dev ## PPO on a GPU against TRL, plain generate and the limits; writes benchmarks/results/
	$(BIN)/python -m benchmarks.bench_gpu $(ARGS)

bench-paths: $(VENV)/.installed-dev ## Fast and plain ways of computing learn alike; writes benchmarks/results/
	$(BIN)/python -m benchmarks.bench_paths $(ARGS)

bench-growth: $(VENV)/.installed-dev ## How a step's cost grows on the CPU; writes benchmarks/results/
	$(BIN)/python -m benchmarks.bench_growth $(ARGS)

bench-human: $(VENV)/.installed-dev ## A simulated person's taste, learnt and followed; writes benchmarks/results/
	$(BIN)/python -m benchmarks.bench_human $(ARGS)

bench-ui: $(VENV)/.installed-dev ## What the app costs: lag, CPU, memory, start; writes benchmarks/results/
	$(BIN)/python -m benchmarks.bench_ui $(ARGS)

chaos: $(VENV)/.installed-dev ## A hundred kills of the demo's worker, each resumed and compared; an hour
	$(BIN)/python -m tools.chaos --write $(ARGS)

fuzz: $(VENV)/.installed-dev ## A hundred thousand damaged files for everything that reads one
	$(BIN)/python -m tools.fuzz --write $(ARGS)

soak: $(VENV)/.installed-dev ## 5,000 steps in one worker: nothing may grow
	$(BIN)/python -m tools.soak --write $(ARGS)

goldens: $(VENV)/.installed-dev ## Write the screens' plain-text goldens anew; review the diff
	UPDATE_GOLDENS=1 $(BIN)/python -m pytest -q tests/screens $(ARGS)

docs: $(VENV)/.installed-dev ## Write docs/metrics.md anew, from the app's glossary
	$(BIN)/python -m tools.metrics_page

picture: $(VENV)/.installed-dev ## Make the picture in the README from the real app
	$(BIN)/python -m tools.picture

clean: ## Remove what was built or cached
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -not -path './.venv/*' -exec rm -rf {} +
