# SPDX-License-Identifier: Apache-2.0
# A thin front of meson: `make`, `make demo`, `make check`, `make fuzz`, `make lint`, `make format`, `make install`.

BUILD ?= build
PREFIX ?= /usr/local

# `make demo SHELL=1` leaves the user in a shell in the guest; make's own shell stays what it is.
demo_shell := $(filter 1,$(SHELL))
override SHELL := /bin/sh

.PHONY: all deps demo check check-unit check-asan check-guest check-dax fuzz lint format install clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@scripts/deps build
	@meson setup $(BUILD) --prefix $(PREFIX)

# DIR=directory to share, GUEST=uml or qemu, SHELL=1.
demo: all
	@scripts/deps demo
	@DIR='$(DIR)' GUEST='$(GUEST)' DEMO_SHELL='$(demo_shell)' scripts/demo

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

lint:
	@scripts/lint

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all
	@meson install -C $(BUILD)

clean:
	@rm -rf $(BUILD) build-asan build-clang build-fuzz
