# make run and make test are all a newcomer needs; both want nothing but Go.
GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BIN     := bin/mailhatch
LDFLAGS  = -s -w -X main.version=$(VERSION)
ROOMS   := ./gateway/... ./upstream/... ./mime/...

.PHONY: run test build man lint spelling deps bench bench-hostile bench-peers bench-curve soak fuzz cover cross install install-sendmail packages release container clean

run: build ## start the gateway without a config: mail is shown on the console
	@exec $(BIN)

build: cmd/mailhatch/manual/pages/config.example.toml ## build bin/mailhatch
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN) ./cmd/mailhatch

# The config reference is embedded for mailhatch.toml(5).
cmd/mailhatch/manual/pages/config.example.toml: config.example.toml
	cp $< $@

MANPAGES := mailhatch.1 sendmail.1mailhatch mailhatch.toml.5
man: build ## manual pages and completions of shells, into dist/
	@mkdir -p dist/man dist/completion
	@for page in $(MANPAGES); do $(BIN) man $$page >dist/man/$$page || exit 1; done
	@for page in mailq newaliases; do echo '.so man1/sendmail.1mailhatch' >dist/man/$$page.1mailhatch; done
	@for shell in bash zsh fish; do $(BIN) completion $$shell >dist/completion/mailhatch.$$shell || exit 1; done

# A program with the race detector waits a second at its end by default; here hundreds of them end. What is
# measured runs without the detector. Most parallel tests wait: eight of them fit on two cores.
test: export GORACE ?= atexit_sleep_ms=0
test: ## all tests with the race detector where cgo is there; lists the slowest ten
	@if $(GO) env CGO_ENABLED | grep -q 1 && command -v $${CC:-cc} >/dev/null; then \
		GO="$(GO)" .ci/slowest -race -parallel 8 -timeout 20m ./... && \
		$(GO) test -run 'Hostile|Memory|AtLimits' ./mime ./upstream/api ./cmd/mailhatch ./test/cost ; \
	else \
		echo "no C compiler: testing without the race detector"; GO="$(GO)" .ci/slowest -timeout 20m ./... ; \
	fi

lint: ## gofmt, vet, staticcheck, deadcode, file sizes
	@.ci/lint

spelling: ## common mistakes everywhere; in the documents, words that no dictionary has (hunspell, where it is installed)
	@.ci/spelling

deps: ## outdated, retracted, deprecated and unmaintained modules, and known vulnerabilities; for a weekly run
	@.ci/deps
	-@.ci/vulnerabilities

FUZZTIME ?= 10s
fuzz: ## each fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME)

cover: ## statement coverage of the rooms, at least 90 % each
	@.ci/cover $(ROOMS)

bench: build ## messages/s accepted and delivered, p99, CPU, memory
	@$(GO) run ./cmd/mailbench run --binary $(BIN)

bench-hostile: ## CPU and memory that the worst of hostile mail costs, for each kind (doc/security.md), 5 to 10 minutes
	@$(GO) test ./test/cost -run '^$$' -bench Hostile -benchtime 1x -timeout 1h

bench-peers: build ## all figures of doc/performance.md beside Postfix and others, 10 to 20 minutes (ONLY=line,... QUICK=1 FETCH=1)
	@$(GO) run ./cmd/mailbench peers -binary $(BIN) -markdown bin/peers.md -json bin/peers.json \
		$(if $(ONLY),-only $(ONLY)) $(if $(QUICK),-quick) $(if $(FETCH),-fetch)

bench-curve: build ## the cost of a message with a queue of up to a million, drawn in doc/cost-curve.svg, 5 to 15 minutes
	@$(GO) run ./cmd/mailbench curve -binary $(BIN) -out doc/cost-curve.svg -json bin/curve.json $(if $(QUICK),-quick)

SOAK ?= 10m
soak: build ## SOAK (10 minutes) at 300 messages/s with failing providers, reloads and an outage; prints Markdown
	@$(GO) run ./cmd/mailbench soak --binary $(BIN) --duration $(SOAK)

cross: ## build for all systems without cgo
	@for os in linux darwin windows freebsd; do for arch in amd64 arm64; do \
		echo "$$os/$$arch"; CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/mailhatch || exit 1; \
	done; done

# Units of packages belong to the system, those of a local build to its administrator.
ifeq ($(PREFIX),/usr)
UNITDIR ?= /usr/lib/systemd/system
else
UNITDIR ?= /etc/systemd/system
endif
SHARE := $(DESTDIR)$(PREFIX)/share

install: build man ## program, units, manual pages, completions and docs under DESTDIR and PREFIX
	install -D -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/mailhatch
	install -d $(SHARE)/man/man1
	install -m 0644 dist/man/*.1 dist/man/*.1mailhatch $(SHARE)/man/man1
	install -D -m 0644 dist/man/mailhatch.toml.5 $(SHARE)/man/man5/mailhatch.toml.5
	install -D -m 0644 dist/completion/mailhatch.bash $(SHARE)/bash-completion/completions/mailhatch
	install -D -m 0644 dist/completion/mailhatch.zsh $(SHARE)/zsh/site-functions/_mailhatch
	install -D -m 0644 dist/completion/mailhatch.fish $(SHARE)/fish/vendor_completions.d/mailhatch.fish
	install -d $(SHARE)/doc/mailhatch/doc/pictures
	install -m 0644 README.md CHANGELOG.md CONTRIBUTING.md LICENSE config.example.toml $(SHARE)/doc/mailhatch
	install -m 0644 doc/*.md doc/*.svg $(SHARE)/doc/mailhatch/doc
	install -m 0644 doc/pictures/*.svg $(SHARE)/doc/mailhatch/doc/pictures
	install -d $(DESTDIR)$(UNITDIR)
	install -m 0644 systemd/mailhatch.service systemd/mailhatch.socket $(DESTDIR)$(UNITDIR)
	sed -i 's,/usr/local/bin,$(PREFIX)/bin,' $(DESTDIR)$(UNITDIR)/mailhatch.service
	install -D -m 0644 systemd/mailhatch.sysusers $(DESTDIR)/usr/lib/sysusers.d/mailhatch.conf
	install -D -m 0644 systemd/mailhatch.tmpfiles $(DESTDIR)/usr/lib/tmpfiles.d/mailhatch.conf

install-sendmail: install ## links that make it this machine's sendmail, mailq and newaliases
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib
	ln -sf ../bin/mailhatch $(DESTDIR)$(PREFIX)/sbin/sendmail
	ln -sf ../sbin/sendmail $(DESTDIR)$(PREFIX)/lib/sendmail
	ln -sf mailhatch $(DESTDIR)$(PREFIX)/bin/mailq
	ln -sf mailhatch $(DESTDIR)$(PREFIX)/bin/newaliases

# Packages and the container. PKG_VERSION is the tag, or a number that grows with each commit.
NFPM        ?= $(GO) run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
PKG_VERSION ?= $(shell v=$$(git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//; s/-\([0-9]*\)-g/+\1.g/'); \
	echo $${v:-0.0.0+$$(git rev-list --count HEAD 2>/dev/null || echo 0).g$$(git rev-parse --short HEAD 2>/dev/null || echo 0)})
MAINTAINER  ?= mailhatch <mailhatch@localhost>
ARCHS       ?= amd64 arm64
KINDS       ?= deb rpm

linux-%:
	@CGO_ENABLED=0 GOOS=linux GOARCH=$* $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o dist/linux-$*/mailhatch ./cmd/mailhatch

packages: VERSION = $(PKG_VERSION)
packages: $(addprefix linux-,$(ARCHS)) ## dist/*.deb and dist/*.rpm, KINDS for ARCHS
	@rm -rf dist/root dist/*.deb dist/*.rpm
	@$(MAKE) --no-print-directory -s install DESTDIR=dist/root PREFIX=/usr VERSION='$(PKG_VERSION)'
	@gzip -9nf dist/root/usr/share/man/man?/* && rm -r dist/root/usr/share/zsh
	@printf 'mailhatch (%s) unstable; urgency=medium\n\n  * A build of commit %s.\n\n -- %s  %s\n' '$(PKG_VERSION)' "$$(git describe --always --dirty 2>/dev/null || echo unknown)" '$(MAINTAINER)' \
		"$$(LC_ALL=C date -u -d "@$$(git log -1 --format=%ct 2>/dev/null || echo 0)" '+%a, %d %b %Y %H:%M:%S +0000')" | gzip -9n >dist/changelog.gz
	@for arch in $(ARCHS); do for kind in $(KINDS); do \
		ARCH=$$arch PKG_VERSION='$(PKG_VERSION)' MAINTAINER='$(MAINTAINER)' SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) \
			$(NFPM) package -f packaging/nfpm.yaml -p $$kind -t dist/ || exit 1; \
	done; done

# What people download, with the version of the tag.
SYSTEMS ?= $(foreach os,linux darwin freebsd windows,$(os)/amd64 $(os)/arm64)
SBOM    ?= $(GO) run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0
release: VERSION = $(PKG_VERSION)
release: man packages ## dist/release: archives for all systems, packages, bill of materials (CycloneDX), checksums
	@GO='$(GO)' VERSION='$(PKG_VERSION)' LDFLAGS='$(LDFLAGS)' SYSTEMS='$(SYSTEMS)' SBOM='$(SBOM)' packaging/release

# The first of these that works.
ENGINE ?= $(shell for e in podman docker buildah; do $$e info >/dev/null 2>&1 && { echo $$e; break; }; done)
CONTAINER_ARCH ?= $(shell $(GO) env GOARCH)
CA_BUNDLE ?= $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
container: linux-$(CONTAINER_ARCH) ## the image mailhatch, where podman, docker or buildah works
	@rm -rf dist/container && mkdir -p dist/container/state dist/container/run
	@install -D -m 0755 dist/linux-$(CONTAINER_ARCH)/mailhatch dist/container/root/usr/bin/mailhatch
	@install -D -m 0644 packaging/container.toml dist/container/root/etc/mailhatch/config.toml
	@if [ -z "$(CA_BUNDLE)" ]; then echo "no certificates of authorities on this machine: set CA_BUNDLE"; exit 1; fi
	@install -D -m 0644 $(CA_BUNDLE) dist/container/root/etc/ssl/certs/ca-certificates.crt
	@mkdir -p dist/container/root/var/lib dist/container/root/run && mkdir -m 1777 dist/container/root/tmp
	@echo 'mailhatch:x:65532:65532:mailhatch:/var/lib/mailhatch:/sbin/nologin' >dist/container/root/etc/passwd
	@echo 'mailhatch:x:65532:' >dist/container/root/etc/group
	@case "$(ENGINE)" in \
	"") echo "no podman, docker or buildah works here: dist/container is ready, the image is not built" ;; \
	docker) docker build -t mailhatch -f packaging/Containerfile dist/container ;; \
	*) $(ENGINE) build --format docker -t mailhatch -f packaging/Containerfile dist/container ;; \
	esac

clean: ## remove what was built
	rm -rf bin dist cover.out
