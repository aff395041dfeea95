# make results: the sandbox experiment, from nothing to the table.   make test: the tests.
# Everything else is plain snakemake in .venv: see README.md.
PYTHON ?= python3
CORES ?= all
WORKERS ?= 2
BIN := $(CURDIR)/.venv/bin
READY := .venv/.ready
DOCS := .venv/.docs
export PATH := $(BIN):$(PATH)

.PHONY: benchmarks speed results check test test-slow test-exhaustive test-all lowest lint schema environment dist
.PHONY: release-check clean

results: $(READY)
	@if [ -t 2 ]; then export SNAKEMAKE_PROFILE=profiles/terminal; fi; snakemake --cores $(CORES)
	@echo "the table again: .venv/bin/prunegrid table results/sandbox"

environment: $(READY)

$(READY): envs/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "prunegrid needs Python 3.11 or newer as $(PYTHON); name another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) lacks the venv module; install it (Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore pip install --quiet --requirement envs/requirements.txt
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

# While you work: about a minute and a half.
check: lint
	pytest tests/unit tests/docs -m "not slow and not training and not sweep" --numprocesses $(WORKERS)

test: $(READY)
	pytest -m "not slow" --numprocesses $(WORKERS)

test-slow: $(READY)
	pytest -m "slow and not exhaustive" --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
	pytest tests/workflow/test_endtoend.py -k calibrated_by_a_third  # seconds: nothing else may run meanwhile

test-exhaustive: $(READY)
	pytest -m exhaustive

test-all: test test-slow test-exhaustive

# The torch-free parts under the lowest versions that pyproject.toml allows.
lowest: $(READY)
	python tests/support/programs/lowest_versions.py

lint: $(READY)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/Snakefile workflow/rules
	mypy
	lint-imports
	snakemake --lint

.PHONY: docs
# The docs site, in build/site: it opens from a disk.
docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

$(DOCS): envs/docs.txt $(READY)
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore pip install --quiet \
		--constraint envs/requirements.txt --requirement envs/docs.txt
	touch $(DOCS)

schema: $(READY)
	python -m prunegrid.experiment.config > workflow/schemas/config.schema.json

# Speed on this machine, recorded in benchmarks/results/: half an hour without other work. Repeat it to resume.
benchmarks: $(READY)
	python benchmarks/record.py --all speed

# docs/results/speed.md, from these records.
speed: $(READY)
	python benchmarks/page.py

# An sdist and a wheel in dist/, made by the backend alone, and checked.
dist: build/packaging
	rm -rf dist
	build/packaging/bin/python -m build --outdir dist .
	build/packaging/bin/twine check --strict dist/*

build/packaging:
	$(PYTHON) -m venv build/packaging
	PIP_DISABLE_PIP_VERSION_CHECK=1 build/packaging/bin/pip install --quiet build twine

# Before a release is uploaded: CONTRIBUTING.md, "Releases".
release-check: $(READY) dist
	python tests/support/programs/release_check.py

clean:
	rm -rf results/sandbox results/published
