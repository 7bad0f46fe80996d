# Makefile: builds, tests, fuzzes and measures. `make help` lists the targets.
.DEFAULT_GOAL := lib
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
# Sanitizers, coverage and what the concurrency engine sees are clang's.
CLANG ?= clang

# A tool that a recipe asks for, or one line that says how to get it.
have = $(if $(have.$(firstword $(1))),,$(eval have.$(firstword $(1)) := $(or $(shell command -v $(firstword $(1))), \
    $(error $(firstword $(1)) is missing: run scripts/setup, which installs it))))$(1)

# The same for a header: $(call header,NAME,COMPILER,PACKAGE) is one line of a recipe.
header = @echo '\#include <$(1)>' | $(2) -E - >/dev/null 2>&1 || { \
    echo 'make $@: the header $(1) is missing: apt-get install $(3), or scripts/setup' >&2; exit 2; }

# make -n runs lines that name $(MAKE): those that start a program are shown instead.
dry := $(findstring n,$(firstword -$(filter-out --%,$(MAKEFLAGS))))
start = @$(if $(dry),echo )

# A value as one word of the shell, whatever is in it: $(call quote,$(INPUT)).
quote = '$(subst ','\'',$(1))'

# V=1 shows whole command lines, else one short line a file.
Q := $(if $(V),,@)
comma := ,
empty :=
space := $(empty) $(empty)
say = $(if $(V),@:,@printf '  %-7s %s\n' '$(1)' '$(2)')

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
CSTD := -std=c11 -D_GNU_SOURCE

# Configurations: build/<config>/... The same sources, other flags.
CFLAGS.plain := -O2 -g
CFLAGS.asan  := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS.tsan  := -O1 -g -fsanitize=thread
CFLAGS.cov   := -O1 -g -DNDEBUG
LDFLAGS.cov  := -fprofile-instr-generate
CONFIGS := plain asan tsan cov
CC.plain = $(CC)
CC.asan  = $(call have,$(CLANG))
CC.tsan  = $(call have,$(CLANG))
CC.cov   = $(call have,$(CLANG))

REF_SRC := $(sort $(wildcard ref/*.c))
ref_obj = $(REF_SRC:%.c=build/$(1)/%.o)

##@ The library
lib: build/plain/libpagebox.a ## the static library, build/plain/libpagebox.a

# Folders of headers, by where the source lies: what may include what is checked by make lint.
includes = -Iref $(if $(filter fuzz/%,$(filter-out fuzz/sim/%,$(1))),-Ifuzz $(FUZZ_FOLDERS:%=-Ifuzz/%) -Ifuzz/sim) \
    $(if $(findstring /tests/,$(1)),-Iref/tests)

define config_rules
build/$(1)/%.o: %.c
	$$(call say,CC,$$<)
	@mkdir -p $$(@D)
	$$(Q)$$(CC.$(1)) $$(CSTD) $$(WARN) $$(CFLAGS.$(1)) $$(call includes,$$<) -MMD -MP -c $$< -o $$@
build/$(1)/libpagebox.a: $$(call ref_obj,$(1))
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@.new && $$(AR) rcs $$@.new $$^ && mv $$@.new $$@
endef
$(foreach c,$(CONFIGS),$(eval $(call config_rules,$(c))))

# What is measured is the library alone; see scripts/coverage.py. Atomic, because the tests have threads:
# the count of one side of a branch is a difference of two counters, and a lost update makes it nothing.
$(call ref_obj,cov): CFLAGS.cov += -fprofile-instr-generate -fcoverage-mapping -fprofile-update=atomic

# A setting that no target of this command has is a slip of the finger (TIM=3). A make that another one
# started is not asked.
given := $(if $(filter 0,$(MAKELEVEL)),$(strip $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $v)),$v))))
-include $(shell find build -name '*.d' 2>/dev/null)
include $(wildcard ref/rules.mk fuzz/runtimes/rules.mk fuzz/rules.mk fuzz/conform/rules.mk fuzz/sim/rules.mk fuzz/sim/explore.mk fuzz/engine.mk \
    fuzz/oss-fuzz.mk fuzz/defects/rules.mk bench/rules.mk scripts/gate.mk scripts/rules.mk)

slip := $(if $(given),$(shell awk -f scripts/settings.awk -v goals='$(or $(MAKECMDGOALS),$(.DEFAULT_GOAL))' \
    -v given='$(given)' -v common='CC CLANG AR V PREFIX DESTDIR CFLAGS SIM_CC' $(MAKEFILE_LIST)))
$(if $(slip),$(error $(slip)))
$(MAKEFILE_LIST): ; # nothing makes these (else `make -B` would ask .DEFAULT for them)

##@ Housekeeping
clean: ## removes build/ (results stay)
	rm -rf build
help: ## this list
	@awk -f scripts/help.awk $(MAKEFILE_LIST)
.PHONY: lib clean help
