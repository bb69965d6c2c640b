# make demo and make test are all that a newcomer needs; both set up what they use.
# PYTHON=/path/to/python chooses the Python that .venv is made with.

.DEFAULT_GOAL := help
.PHONY: help demo test docs pictures fuzz chaos bench profile lint format man lock clean setup growth

bin := .venv/bin

# Hundreds of processes that tests start would otherwise compile the whole program each.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo 'make demo     start two nodes and watch them work for each other'
	@echo 'make test     run the tests and the style and type checks'
	@echo 'make fuzz     look for inputs that break what must hold: SECONDS=60 TARGET=frames SEED=1, each if wanted'
	@echo 'make chaos    kill, stop and cut all that units of work lean on: SECONDS=180 UNITS=300 SEED=7, each if wanted'
	@echo 'make growth   measure what each more node and unit costs: NODES="10 100" SHAPES="star chain" REAL=1 or UNITS="100 1000", each if wanted'
	@echo 'make bench    measure what users feel: FIGURE=local-true REPEATS=5 AGAINST=/path/to/receptor, each if wanted'
	@echo 'make profile  flame graphs of the nodes while a figure is measured: FIGURE=local-true REPEATS=5'
	@echo 'make docs     build the documentation into site/; any web server shows it: python3 -m http.server -d site'
	@echo 'make pictures draw anew what commands show in the documentation'
	@echo 'make lint     run only the style and type checks'
	@echo 'make format   put the source into the one style'
	@echo 'make man      write the manual pages anew, from the definitions that --help is made of'
	@echo 'make lock     choose versions of the packages anew, as pyproject.toml allows (needs uv)'
	@echo 'make clean    remove .venv and everything else that make made'

demo: setup
	@$(bin)/python examples/seed/demo.py

# Both parts run in any case; the summary of the tests comes last. Most tests wait for processes, so that three files at
# a time take half of the time also where there are two cores.
test: setup
	@failed=0; $(MAKE) --no-print-directory lint || failed=1; $(bin)/pytest -n 3 --dist loadfile || failed=1; exit $$failed

fuzz: setup
	@PYTHONPATH=tests $(bin)/python -m fuzz \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(TARGET),--target $(TARGET)) $(if $(SEED),--seed $(SEED))

chaos: setup
	@$(bin)/python -m tools.chaos \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(UNITS),--units $(UNITS)) $(if $(SEED),--seed $(SEED))

growth: setup
	@PYTHONPATH=tests $(bin)/python -m bench.growth $(if $(REAL),--real) $(if $(UNITS),--units $(UNITS)) \
		$(if $(NODES),--nodes $(NODES)) $(if $(SHAPES),--shapes $(SHAPES))

# What is measured, and how to read it: docs/benchmarks.md.
bench: setup
	@$(bin)/python -m bench $(if $(AGAINST),--against '$(AGAINST)') $(bench_options)

profile: setup
	@$(if $(FIGURE),,echo 'make profile needs FIGURE=...; python -m bench --help names them' >&2; exit 2)
	@$(bin)/python -m bench --profile $(bench_options)

bench_options = $(if $(REPEATS),--repeats $(REPEATS)) $(if $(FIGURE),--figure $(FIGURE))

# What builds the site has an environment of its own. The variable silences an announcement of its makers.
docs: setup
	@$(bin)/python tools/environment.py .venv/docs docs/requirements.lock
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=src:. .venv/docs/bin/mkdocs build --strict --quiet

pictures: setup
	@$(bin)/python -m tools.pictures

lint: setup
	@$(bin)/ruff check
	@$(bin)/ruff format --check
	@$(bin)/mypy

format: setup
	@$(bin)/ruff check --fix
	@$(bin)/ruff format

man: setup
	@$(bin)/python -m tools.man_pages docs/man

lock:
	@command -v uv >/dev/null || { echo 'make lock needs uv: pip install uv' >&2; exit 1; }
	uv pip compile $(lock_options) --group dev -o requirements.lock pyproject.toml
	uv pip compile $(lock_options) -o tests/upstream_client.lock tests/upstream_client.in
	uv pip compile $(lock_options) -c requirements.lock --extra kubernetes -o packaging/runtime.lock pyproject.toml
	echo hatchling | uv pip compile $(lock_options) -c requirements.lock -o packaging/build.lock -
	uv pip compile $(lock_options) -o tests/ansible_runner.lock tests/ansible_runner.in
	uv pip compile $(lock_options) -o docs/requirements.lock docs/requirements.in pyproject.toml

lock_options := --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock'

clean:
	rm -rf .venv/made-from .venv site .mypy_cache .ruff_cache .hypothesis build dist
	find src tests tools examples -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@tools/setup
