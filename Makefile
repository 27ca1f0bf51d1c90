# The commands of the project, in this order: use it, its environments, test it, check it, document and release it.
# `make help` lists them.
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
AUDIT := .venv-audit
RELEASE := .venv-release
OUTPUTS := .deploy/$(DEPLOYMENT)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export UV_PYTHON_DOWNLOADS := never
include scripts/environment.mk

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
# Also in a directory that others may write to, where Ansible itself would ignore the file.
up: export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
up: system environment ## everything on this machine: local AWS, the whole deployment, one experiment
	@echo "==> Local AWS"
	scripts/as-root.sh $(BIN)/python -m local_aws start
	$(BIN)/python scripts/write_deploy_policy.py $(DEPLOYMENT) | scripts/as-root.sh $(BIN)/python -m local_aws allow $(DEPLOYMENT)
	@echo "==> Deployment $(DEPLOYMENT)"
	$(BIN)/ansible-playbook site.yml -e deployment=$(DEPLOYMENT) $(ANSIBLE_ARGS)
	@echo "==> One experiment"
	set -a; . $(OUTPUTS)/mlflow.env; set +a; $(BIN)/python models/train.py models/configs/poisson.json
	@scripts/show-deployment.sh $(OUTPUTS)

.PHONY: status
status: export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
status: $(VENV)/.up ## the state of each part of the deployment on one screen; fails if something is wrong
	@$(BIN)/ansible-playbook playbooks/status.yml -e deployment=$(DEPLOYMENT) $(ANSIBLE_ARGS)

.PHONY: setup
setup: environment ## the environment alone: .venv with Ansible, from hashed locks; starts nothing

.PHONY: environment
environment: $(VENV)/.up
	@scripts/select-environment.sh $(VENV)

.PHONY: down
down: ## stops local AWS and removes all that it made; images stay cached
	@if [ -x $(BIN)/python ]; then scripts/as-root.sh $(BIN)/python -m local_aws stop; fi

.PHONY: system
system:
	@scripts/check-clone.sh
	@scripts/system-packages.sh

.PHONY: system-test
system-test:
	@scripts/check-clone.sh
	@scripts/system-packages.sh test

.PHONY: system-test-full
system-test-full:
	@scripts/check-clone.sh
	@scripts/system-packages.sh test-full

# The locks agree with each other, so one environment holds them all.
$(VENV)/.up: requirements/bootstrap.txt requirements/control.txt requirements/local_aws.txt requirements/models.txt aws_transcript/aws_transcript.pth scripts/short_tmpdir.pth client/pyproject.toml
	@scripts/virtual-environment.sh '$(PYTHON)' $(VENV) $(filter-out %/bootstrap.txt,$(filter %.txt,$^))
	@# Its interpreters record their calls to AWS where AWS_TRANSCRIPT is set. They use /tmp instead of a folder whose path is too long for
	@# the Unix sockets that Ansible (since ansible-core 2.21) and Mitogen make in it.
	@cp $(filter %.pth,$^) "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	@# MLflow's client finds the plugin by the description of its package. Its lines are read from client/, so an edit counts at once.
	@$(BIN)/uv pip install --quiet --offline --no-deps --python $(VENV)/bin/python --editable client
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
test: system-test $(VENV)/.test $(RELEASE)/.up ## everything that CI runs
	scripts/as-root.sh $(BIN)/python -m local_aws image
	@# A make of its own, because only these targets run side by side. They wait a lot, so four share two cores.
	@echo "==> Four suites at a time, the longest first; each shows its output when it is done"
	$(MAKE) --no-print-directory --jobs=4 --output-sync=target provisioning e2e unit server local-aws molecule lint

.PHONY: test-full
test-full: system-test-full test $(AUDIT)/checkov/.up $(AUDIT)/prowler/.up ## make test, and all tests that are too slow for it
	$(BIN)/pytest -m slow tests
	@# The tests that make their own examples make the same ones each time, except here.
	$(BIN)/pytest -m 'hypothesis and not slow' --hypothesis-profile=random tests/unit tests/server tests/local_aws
	@# With MLflow's own code in all places but the required ones.
	OPTIONAL_PATCHES=off $(BIN)/pytest -m 'not slow' tests/server
	$(MAKE) --no-print-directory molecule-full
	$(MAKE) --no-print-directory stacks

.PHONY: stacks
stacks: $(VENV)/.up ## unit, server, provisioning and Molecule tests once more, with the other stack of Ansible
	python=$$(scripts/find-python.sh $${OTHER_PYTHON:-$$($(BIN)/python scripts/stacks.py others)}); \
	$(MAKE) --no-print-directory PYTHON="$$python" unit server provisioning molecule

.PHONY: lint
lint: system-test $(VENV)/.test site ## code, YAML, Ansible, shell and workflows: everything that can be checked without running it
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

.PHONY: unit
unit: system-test $(VENV)/.test $(RELEASE)/.up ## unit tests
	$(BIN)/pytest -m 'not slow' tests/unit tests/settings tests/upstream

.PHONY: server
server: system-test $(VENV)/.test ## the tracking server by itself, on PostgreSQL, compared with stock MLflow
	$(BIN)/pytest -m 'not slow' tests/server

.PHONY: local-aws
local-aws: system-test $(VENV)/.test ## local AWS by itself, compared with what AWS documents
	$(BIN)/pytest -m 'not slow' tests/local_aws

.PHONY: provisioning
provisioning: system-test $(VENV)/.test ## create, repeat and delete against local AWS
	$(BIN)/pytest -m 'not slow' tests/provisioning

.PHONY: molecule
molecule: system-test $(VENV)/.test ## the roles of the host, on a host of their own
	scripts/as-root.sh $(BIN)/python -m local_aws image
	scripts/as-root.sh scripts/molecule.sh mlflow/default

.PHONY: molecule-full
molecule-full: system-test $(VENV)/.test ## every scenario, on Debian 12 as well
	scripts/as-root.sh $(BIN)/python -m local_aws image 12
	scripts/as-root.sh env MOLECULE_TESTS=slow scripts/molecule.sh mlflow/default
	scripts/as-root.sh scripts/molecule.sh tls_proxy/acme mlflow/alternative mlflow/failure

.PHONY: e2e
e2e: system-test $(VENV)/.test ## the steps of a user, from make up to make down
	env --unset=MAKEFLAGS --unset=MAKELEVEL $(BIN)/pytest -m 'not slow' tests/e2e

.PHONY: faults
faults: system-test $(VENV)/.test ## faults of host, database, network and S3 while a client logs: nothing is lost, doubled or stale
	$(BIN)/pytest -m slow tests/faults

.PHONY: pictures
pictures: system-test-full $(VENV)/.test ## the pictures of the user interface and of the report in docs/pictures
	PICTURES=docs/pictures $(BIN)/pytest -m slow tests/e2e/test_browser.py

.PHONY: audit
audit: system-test $(VENV)/.test $(AUDIT)/checkov/.up $(AUDIT)/prowler/.up ## Checkov, Prowler, ssh-audit, testssl.sh and Gitleaks: each finding is fixed or explained
	$(BIN)/pytest tests/audit

.PHONY: upstream
upstream: export PYTHONPATH := collections:server
upstream: system-test $(VENV)/.test ## MLflow's own tests, with stock MLflow and with our server: make upstream MLFLOW_SOURCE=../mlflow
	$(BIN)/python -m tests.upstream $(or $(MLFLOW_SOURCE),$(error MLFLOW_SOURCE: name a folder with MLflow's source))

.PHONY: bench
bench: export PYTHONPATH := collections:server
bench: system-test $(VENV)/.test ## how fast it is, compared with the alternatives
	$(BIN)/python -m tests.bench.metrics_endpoint
	$(BIN)/python -m tests.bench.server
	$(BIN)/python -m tests.bench.fairness
	$(BIN)/python -m tests.bench.experiments
	$(BIN)/python -m tests.bench.run_logging
	scripts/as-root.sh $(BIN)/python -m tests.bench.provisioning
	scripts/as-root.sh env PYTHONPATH=$(PYTHONPATH) $(BIN)/python -m tests.bench.artifacts

.PHONY: aws-report
aws-report: $(VENV)/.up ## packs the transcript AWS_TRANSCRIPT of a run, to send it (docs/transcripts.md)
	@$(BIN)/python -m aws_transcript report

.PHONY: docs
docs: $(VENV)/.test ## writes the generated files: variables, modules, metrics, make targets, the deployer's policy, dashboards
	$(BIN)/python scripts/document_variables.py
	$(BIN)/python scripts/document_reference.py
	$(BIN)/python scripts/stacks.py table
	$(BIN)/python scripts/write_deploy_policy.py
	$(BIN)/python -m dashboards

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
