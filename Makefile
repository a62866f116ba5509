# Every target is one line in `make help`, which is also what `make` alone prints.
# Nothing here needs more than Go and make: what a target needs besides, it gets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO    ?= go
DATA  ?= .data
BENCH ?=
# The commit is given here because `go build` refuses to stamp it itself when the
# checkout belongs to another user.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

PROGRAMS := fleetd fleetctl fleetsim
SQLC     := bin/tools/sqlc
LINT     := bin/tools/golangci-lint
OAPI     := bin/tools/oapi-codegen
OPENAPI  := docs/api/openapi.json
CLIENT   := internal/client/client.gen.go

VERSION_VAR_fleetd   := main.release
VERSION_VAR_fleetctl := main.version

# A private database needs PostgreSQL installed; one that was named does not.
POSTGRES := $(if $(FLEETD_DATABASE_URL),,postgres)

# The race detector needs cgo, and that a C compiler; Go turns cgo off without one.
RACE := $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z\/]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Build and run

.PHONY: build
build: $(PROGRAMS:%=build/%) ## Build fleetd, fleetctl and fleetsim into bin/

.PHONY: $(PROGRAMS:%=build/%)
$(PROGRAMS:%=build/%): build/%:
	CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '-s -w $(if $(VERSION_VAR_$*),-X $(VERSION_VAR_$*)=$(VERSION))' -o bin/$* ./cmd/$*

.PHONY: demo
demo: build postgres ## The whole story in two minutes, nothing to configure (EXIT=1: end by itself)
	bin/fleetd demo $(if $(EXIT),--exit)

.PHONY: serve
serve: build $(POSTGRES) ## Run fleetd with its data in .data (DATA=folder)
	bin/fleetd serve --data-dir '$(DATA)'

.PHONY: bench
bench: build postgres ## Measure what the documentation quotes, on whole programs (BENCH=flags: see bench -h)
	$(GO) run ./bench $(BENCH)

##@ Test

.PHONY: test
test: postgres ## Run all tests, under the race detector where a C compiler is
	@$(if $(RACE),:,echo 'make test: no C compiler was found, so the tests run without the race detector')
	$(GO) test $(RACE) -timeout 15m ./...

.PHONY: test/race
test/race: postgres ## Run all tests under the race detector, three times over
	$(GO) test -race -count 3 -timeout 60m ./...

.PHONY: test/quick
test/quick: postgres ## Run all tests without the race detector
	$(GO) test ./...

.PHONY: postgres
postgres: ## Install PostgreSQL's server if it is missing
	@scripts/ensure-postgres

##@ Keep in shape

.PHONY: lint
lint: $(LINT) ## Run the linters of .golangci.yml
	$(LINT) run --allow-parallel-runners ./...

.PHONY: fmt
fmt: $(LINT) ## Format the code
	$(LINT) fmt

.PHONY: generate
generate: $(SQLC) $(OAPI) ## Write the generated code anew: queries, OpenAPI document, client
	$(SQLC) generate
	$(GO) run ./internal/server/openapigen $(OPENAPI)
	$(OAPI) -config internal/client/oapi-codegen.yaml $(OPENAPI)

.PHONY: verify
verify: $(SQLC) $(OAPI) ## Check that generated code, go.mod and formatting are current
	@scripts/verify $(SQLC) $(OAPI) $(OPENAPI) $(CLIENT)

.PHONY: tools
tools: $(SQLC) $(LINT) $(OAPI) ## Build the tools into bin/tools/

# Each tool has a module of its own, so that its dependencies are not the product's
# and updating one does not rebuild the others.
bin/tools/%: tools/%/go.mod tools/%/go.sum
	@echo 'building $@ (once)'
	@GOBIN='$(CURDIR)/bin/tools' $(GO) -C tools/$* install -buildvcs=false tool
	@touch $@

##@ The database in .data (DATA=folder), or at FLEETD_DATABASE_URL

.PHONY: db/migrate
db/migrate: build/fleetd $(POSTGRES) ## Bring the database up to date
	bin/fleetd migrate up --data-dir '$(DATA)'

.PHONY: db/status
db/status: build/fleetd $(POSTGRES) ## Show which migrations are applied
	bin/fleetd migrate status --data-dir '$(DATA)'

.PHONY: db/reset
db/reset: build/fleetd $(POSTGRES) ## Empty the database: all tables dropped and made anew
	bin/fleetd migrate down --data-dir '$(DATA)' --yes
	bin/fleetd migrate up --data-dir '$(DATA)'

.PHONY: db/psql
db/psql: $(POSTGRES) ## Open psql on the database
	@$(GO) run ./internal/postgres/pgrun -data-dir '$(DATA)' sh -c 'psql "$$FLEETD_DATABASE_URL"'

##@ Clean

.PHONY: clean
clean: ## Remove what was built, but not the data in .data
	rm -rf bin
