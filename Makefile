# SPDX-License-Identifier: Apache-2.0
# A thin front of meson: `make`, `make static`, `make demo`, `make check`, `make fuzz`, `make lint`, `make format`,
# `make install`, `make dist`.

BUILD ?= build
# Where `make install` puts things, below DESTDIR.
PREFIX ?= /usr/local
prefix ?= $(PREFIX)
libexecdir ?= $(prefix)/libexec
sysconfdir ?= $(if $(filter /usr,$(prefix)),/etc,$(prefix)/etc)

# `make demo SHELL=1` leaves the user in a shell in the guest; make's own shell stays what it is.
demo_shell := $(filter 1,$(SHELL))
override SHELL := /bin/sh

.PHONY: all static deps demo check check-unit check-asan check-guest check-dax bench fuzz lint format install dist clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@scripts/deps build
	@meson setup $(BUILD) --prefix $(prefix) $(SETUP)

# Programs that load nothing at run time, for hosts with another C library or none: build-static/src/daemon/virtiofsd.
static:
	@$(MAKE) --no-print-directory all BUILD=build-static SETUP=-Dstatic=true

# DIR=directory to share, GUEST=uml or qemu, SHELL=1, DAEMON=another virtiofsd than the one that is built here.
demo: $(if $(DAEMON),,all)
	@scripts/deps demo
	@DIR='$(DIR)' GUEST='$(GUEST)' DAEMON='$(DAEMON)' DEMO_SHELL='$(demo_shell)' scripts/demo

# Everything: unit, protocol and command line tests on a plain and on a sanitized build, then guests.
check:
	@scripts/check unit asan guest

check-unit:
	@scripts/check unit

check-asan:
	@scripts/check asan

check-guest:
	@scripts/check guest

# Builds a QEMU first, once: contrib/qemu.
check-dax:
	@scripts/check dax

# SECONDS=processor time for each target, TARGET=one or several of them.
fuzz:
	@scripts/deps build fuzz
	@scripts/fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(TARGET)

# What requests cost, ours beside the other daemons. ARGS=--quick, or see bench/peers --help.
bench: all
	@scripts/deps peers
	@bench/peers --build $(BUILD) $(ARGS)

lint:
	@scripts/lint

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all
	@meson configure $(BUILD) -Dprefix=$(prefix) -Dlibexecdir=$(libexecdir) -Dsysconfdir=$(sysconfdir)
	@ninja -C $(BUILD) --quiet
	@meson install -C $(BUILD) --no-rebuild

# The release tarball of HEAD, and its checksum, in build/dist.
dist:
	@scripts/dist

clean:
	@rm -rf $(BUILD) build-static build-asan build-clang build-fuzz
