# The front doors of the project; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What a user may set: make up PYTHON=python3.13, make up DEPLOYMENT=demo
PYTHON ?= python3
DEPLOYMENT ?= local
ANSIBLE_ARGS ?=
export LOCAL_AWS_PORT ?= 5566
export LOCAL_AWS_DIR ?= $(CURDIR)/.local-aws

# An environment for each Python; .venv is a link to the one in use (scripts/environment-directory.sh).
VENV := $(shell scripts/environment-directory.sh $(if $(filter-out file,$(origin PYTHON)),'$(PYTHON)'))
BIN := $(VENV)/bin
# Local AWS makes hosts and networks, so it runs as root.
PASSED := LOCAL_AWS_PORT,LOCAL_AWS_DIR,LOCAL_AWS_ACCOUNT,LOCAL_AWS_BASE_IMAGE,LOCAL_AWS_RDS_SECONDS,LOCAL_AWS_RDS_MODIFY_SECONDS,LOCAL_AWS_EC2_SECONDS,LOCAL_AWS_EC2_INIT_SECONDS,LOCAL_AWS_LAMBDA_SECONDS,LOCAL_AWS_LAMBDA_IDLE_SECONDS,LOCAL_AWS_LAMBDA_INTERFACE_SECONDS,LOCAL_AWS_STALE_SECONDS,LOCAL_AWS_STALE_SECRET_LIST_SECONDS,LOCAL_AWS_THROTTLED_PERCENT,LOCAL_AWS_THROTTLED_SEED,PIP_INDEX_URL,HTTP_PROXY,HTTPS_PROXY,NO_PROXY,http_proxy,https_proxy,no_proxy
# Bytecode of root's would be in the way of who removes the clone.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=$(PASSED) PYTHONDONTWRITEBYTECODE=1)
AUDIT := .venv-audit
RELEASE := .venv-release
OUTPUTS := .deploy/$(DEPLOYMENT)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export UV_PYTHON_DOWNLOADS := never
# What an operator may have exported for other projects; what only changes the looks stays, and what the docs name.
ANSIBLE_KEPT := ANSIBLE_ARGS ANSIBLE_STRATEGY ANSIBLE_VERBOSITY ANSIBLE_FORCE_COLOR ANSIBLE_NOCOLOR ANSIBLE_LOG_PATH
unexport $(filter-out $(ANSIBLE_KEPT),$(filter ANSIBLE_%,$(.VARIABLES)))
unexport PYTHONPATH PYTHONHOME PYTHONWARNINGS PYTHONSAFEPATH PYTHONOPTIMIZE VIRTUAL_ENV CONDA_PREFIX CDPATH BASH_ENV
unexport PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV UV_PYTHON UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT
unexport GIT_DIR GIT_WORK_TREE
# Ansible requires a locale of UTF-8, and Debian always has this one.
export LC_ALL := C.UTF-8
# Local AWS is on this machine, whatever proxy is exported. Programs read one of the two first.
comma := ,
upper := $(or $(NO_PROXY),$(no_proxy))
lower := $(or $(no_proxy),$(NO_PROXY))
export NO_PROXY := $(if $(upper),$(upper)$(comma))127.0.0.1,localhost
export no_proxy := $(if $(lower),$(lower)$(comma))127.0.0.1,localhost

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
# Also in a directory that others may write to, where Ansible itself would ignore the file.
up: export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
up: system environment ## everything on this machine: local AWS, the whole deployment, one experiment
	@echo "==> Local AWS"
	$(ROOT) $(BIN)/python -m local_aws start
	$(BIN)/python scripts/write_deploy_policy.py $(DEPLOYMENT) | $(ROOT) $(BIN)/python -m local_aws allow $(DEPLOYMENT)
	@echo "==> Deployment $(DEPLOYMENT)"
	$(BIN)/ansible-playbook site.yml -e deployment=$(DEPLOYMENT) $(ANSIBLE_ARGS)
	@echo "==> One experiment"
	set -a; . $(OUTPUTS)/mlflow.env; set +a; $(BIN)/python models/train.py models/configs/poisson.json
	@scripts/show-deployment.sh $(OUTPUTS)

.PHONY: setup
setup: environment ## the environment alone: .venv with Ansible, from hashed locks; starts nothing

.PHONY: environment
environment: $(VENV)/.up
	@scripts/select-environment.sh $(VENV)

.PHONY: down
down: ## stops local AWS and removes all that it made; images stay cached
	@if [ -x $(BIN)/python ]; then $(ROOT) $(BIN)/python -m local_aws stop; fi

.PHONY: system
system:
	@scripts/check-clone.sh
	@scripts/system-packages.sh

.PHONY: system-test
system-test:
	@scripts/check-clone.sh
	@scripts/system-packages.sh test

# The locks agree with each other, so one environment holds them all.
$(VENV)/.up: requirements/bootstrap.txt requirements/control.txt requirements/local_aws.txt requirements/models.txt aws_transcript/aws_transcript.pth scripts/short_tmpdir.pth
	@scripts/virtual-environment.sh '$(PYTHON)' $(VENV) $(filter-out %/bootstrap.txt,$(filter %.txt,$^))
	@# Its interpreters record their calls to AWS where AWS_TRANSCRIPT is set. They use /tmp instead of a folder whose path is too long for
	@# the Unix sockets that Ansible (since ansible-core 2.21) and Mitogen make in it.
	@cp $(filter %.pth,$^) "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	@touch $@
	@[ -e .venv ] || scripts/select-environment.sh $(VENV)

$(VENV)/.test: requirements/test.txt $(VENV)/.up
	@scripts/virtual-environment.sh '$(PYTHON)' $(VENV) $<
	@touch $@

ifneq ($(VENV),.venv)
.PHONY: .venv/.up .venv/.test
.venv/.up: environment
.venv/.test: $(VENV)/.test environment
endif

# Auditors pin a lot, and not the same as each other: an environment for each.
$(AUDIT)/%/.up: requirements/bootstrap.txt requirements/audit/%.txt
	@scripts/virtual-environment.sh '$(PYTHON)' $(@D) $^
	@touch $@

$(RELEASE)/.up: requirements/bootstrap.txt requirements/release.txt
	@scripts/virtual-environment.sh '$(PYTHON)' $(@D) $^
	@touch $@

.PHONY: test
test: system-test $(VENV)/.test ## everything that CI runs
	$(ROOT) $(BIN)/python -m local_aws image
	@echo "==> Three at a time, because they wait a lot, the longest first; each shows its output when it is done"
	$(MAKE) --no-print-directory --jobs=3 --output-sync=target provisioning e2e unit local-aws lint molecule

.PHONY: test-full
test-full: test $(AUDIT)/checkov/.up $(AUDIT)/prowler/.up ## make test, and all tests that are too slow for it
	$(BIN)/pytest -m slow tests
	$(MAKE) --no-print-directory molecule-full
	$(MAKE) --no-print-directory stacks

.PHONY: stacks
stacks: $(VENV)/.up ## unit tests, provisioning and Molecule once more, with the other stack of Ansible
	python=$$(scripts/find-python.sh $${OTHER_PYTHON:-$$($(BIN)/python scripts/stacks.py others)}); \
	$(MAKE) --no-print-directory PYTHON="$$python" unit provisioning molecule

.PHONY: lint
lint: system-test $(VENV)/.test ## code, YAML, Ansible, shell and workflows: everything that can be checked without running it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint
	shellcheck scripts/*.sh .ci/run
	@# Both work without a network.
	$(BIN)/actionlint .github/workflows/*.yml
	$(BIN)/zizmor --offline --no-progress --quiet --persona=pedantic .github
	$(BIN)/python scripts/check_commits.py
	PYTHONPATH=.:collections:models:server $(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/codespell
	$(BIN)/python scripts/check_language.py
	$(MAKE) --no-print-directory site

.PHONY: unit
unit: system-test $(VENV)/.test $(RELEASE)/.up ## unit tests
	$(BIN)/pytest -m 'not slow' tests/unit

.PHONY: local-aws
local-aws: system-test $(VENV)/.test ## local AWS by itself, compared with what AWS documents
	$(BIN)/pytest -m 'not slow' tests/local_aws

.PHONY: provisioning
provisioning: system-test $(VENV)/.test ## create, repeat and delete against local AWS
	$(BIN)/pytest -m 'not slow' tests/provisioning

.PHONY: molecule
molecule: system-test $(VENV)/.test ## the roles of the host, on a host of their own
	$(ROOT) $(BIN)/python -m local_aws image
	$(ROOT) env "PATH=$$PATH" scripts/molecule.sh mlflow/default

.PHONY: molecule-full
molecule-full: system-test $(VENV)/.test ## every scenario, on Debian 12 as well
	$(ROOT) $(BIN)/python -m local_aws image 12
	$(ROOT) env "PATH=$$PATH" MOLECULE_TESTS=slow scripts/molecule.sh mlflow/default
	$(ROOT) env "PATH=$$PATH" scripts/molecule.sh tls_proxy/acme mlflow/alternative mlflow/failure

.PHONY: e2e
e2e: system-test $(VENV)/.test ## the steps of a user, from make up to make down
	env --unset=MAKEFLAGS --unset=MAKELEVEL $(BIN)/pytest -m 'not slow' tests/e2e

.PHONY: audit
audit: system-test $(VENV)/.test $(AUDIT)/checkov/.up $(AUDIT)/prowler/.up ## Checkov and Prowler: each finding is fixed or explained
	$(BIN)/pytest tests/audit

.PHONY: bench
bench: system-test $(VENV)/.test ## how fast it is, compared with the alternatives
	$(BIN)/python -m tests.bench.metrics_endpoint
	$(BIN)/python -m tests.bench.server
	$(BIN)/python -m tests.bench.experiments
	$(ROOT) $(BIN)/python -m tests.bench.provisioning

.PHONY: aws-report
aws-report: $(VENV)/.up ## packs the transcript AWS_TRANSCRIPT of a run, to send it (docs/transcripts.md)
	@$(BIN)/python -m aws_transcript report

.PHONY: docs
docs: $(VENV)/.up ## writes the generated pages: variables, modules, metrics, make targets, the deployer's policy
	$(BIN)/python scripts/document_variables.py
	$(BIN)/python scripts/document_reference.py
	$(BIN)/python scripts/stacks.py table
	$(BIN)/python scripts/write_deploy_policy.py

.PHONY: site
site: $(VENV)/.test ## builds the documentation site into build/site; a broken link is an error
	$(BIN)/python scripts/site_pages.py build/pages
	@# Not --quiet, which also switches the strict checks off. The variable hides the announcement of the successor (docs/decisions/).
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: lock
lock: $(VENV)/.up ## renews the hashed locks from requirements/*.in
	scripts/lock.sh

.PHONY: dist
dist: $(VENV)/.up $(RELEASE)/.up ## builds the files of the released VERSION into dist/: package, bill of materials, checksums
	$(BIN)/python scripts/release.py build '$(VERSION)'

.PHONY: release
release: lint $(RELEASE)/.up ## checks the clone, sets VERSION, builds dist/, commits and tags; pushes nothing
	$(BIN)/python scripts/release.py tag '$(VERSION)'
