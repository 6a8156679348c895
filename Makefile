# Everything is set up by the first target that needs it; nothing but Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: demo test test-slow lint bench-generate bench-train bench-grade bench-execute bench-report bench-dag docs clean help

demo: $(VENV)/ready  ## the whole miniature: table, figures, report
	snakemake
	snakemake --report results/snakemake.html

test: lint  ## the fast tests, on up to four cores
	pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/ready  ## style of Python and rules, which package may import which, and Snakemake's own lint
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	PYTHONPATH=scripts lint-imports --no-cache
	snakemake --lint

test-slow: export AGORABENCH_MINIATURE ?= $(if $(wildcard results/report.html),$(CURDIR))
test-slow: $(VENV)/ready  ## the slow tests, on up to four cores: they copy the finished miniature, or make one
	pytest -m slow -n auto --maxprocesses 4 --dist loadscope

docs: $(VENV)/ready  ## the documentation as a site, site/index.html
	pip install --quiet -r envs/docs.txt -c envs/lock.txt
	zensical build --strict --clean

bench-generate: $(VENV)/ready  ## how fast generation goes, beside others' tools; installs them; ten minutes
	python perf/generate.py

bench-train: $(VENV)/ready  ## how fast training goes, beside TRL's defaults and a plain loop
	python perf/train.py

bench-grade: $(VENV)/ready  ## how fast answers are graded, beside a plain loop over Math-Verify
	python perf/grade.py

bench-execute: $(VENV)/ready  ## how long HumanEval+ and MBPP+ take, beside EvalPlus's own command
	python perf/execute.py

bench-report: $(VENV)/ready  ## how large the report of the paper's main matrix is, and how fast it loads
	python perf/report.py

bench-dag: $(VENV)/ready  ## how long the whole matrix is thought about, beside a bare workflow; a minute
	python perf/dag.py

$(VENV)/ready: envs/requirements.txt envs/lock.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	pip install --quiet -r envs/requirements.txt -c envs/lock.txt
	touch $@

clean:  ## remove what was made; journal/ (what was paid for) stays
	rm -rf results resources/seeds resources/benchmarks resources/models logs site .snakemake

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /make \1	/'
