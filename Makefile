# make run and make test are all a newcomer needs; both want nothing but Go.
GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BIN     := bin/mailhatch
LDFLAGS := -s -w -X main.version=$(VERSION)
ROOMS   := ./gateway/... ./upstream/... ./mime/...

.PHONY: run test build lint bench bench-peers fuzz cover cross install install-sendmail clean

run: build ## start the gateway without a config: mail is shown on the console
	@exec $(BIN)

build: ## build bin/mailhatch
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN) ./cmd/mailhatch

test: ## all tests with the race detector where cgo is there
	@if $(GO) env CGO_ENABLED | grep -q 1 && command -v $${CC:-cc} >/dev/null; then \
		$(GO) test -race -timeout 20m ./... ; \
	else \
		echo "no C compiler: testing without the race detector"; $(GO) test -timeout 20m ./... ; \
	fi

lint: ## gofmt, vet, staticcheck, file sizes
	@.ci/lint

FUZZTIME ?= 10s
fuzz: ## each fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME)

cover: ## statement coverage of the rooms, at least 90 % each
	@.ci/cover $(ROOMS)

bench: build ## messages/s accepted and delivered, p99, CPU, memory
	@$(GO) run ./cmd/mailbench run --binary $(BIN)

bench-peers: build ## all figures of doc/performance.md beside Postfix and others, about 20 minutes (ONLY=line,... QUICK=1)
	@$(GO) run ./cmd/mailbench peers --binary $(BIN) $(if $(ONLY),-only $(ONLY)) $(if $(QUICK),-quick)

cross: ## build for all systems without cgo
	@for os in linux darwin windows freebsd; do for arch in amd64 arm64; do \
		echo "$$os/$$arch"; CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/mailhatch || exit 1; \
	done; done

install: build ## binary, example config and systemd units under DESTDIR and PREFIX
	install -D -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/mailhatch
	install -D -m 0644 config.example.toml $(DESTDIR)$(PREFIX)/share/doc/mailhatch/config.example.toml
	install -D -m 0644 systemd/mailhatch.service $(DESTDIR)/etc/systemd/system/mailhatch.service
	install -D -m 0644 systemd/mailhatch.socket $(DESTDIR)/etc/systemd/system/mailhatch.socket
	install -D -m 0644 systemd/mailhatch.sysusers $(DESTDIR)/usr/lib/sysusers.d/mailhatch.conf
	sed -i 's,/usr/local/bin,$(PREFIX)/bin,' $(DESTDIR)/etc/systemd/system/mailhatch.service

install-sendmail: install ## links that make it this machine's sendmail, mailq and newaliases
	install -d $(DESTDIR)$(PREFIX)/sbin
	ln -sf ../bin/mailhatch $(DESTDIR)$(PREFIX)/sbin/sendmail
	ln -sf mailhatch $(DESTDIR)$(PREFIX)/bin/mailq
	ln -sf mailhatch $(DESTDIR)$(PREFIX)/bin/newaliases

clean: ## remove what was built
	rm -rf bin dist cover.out
