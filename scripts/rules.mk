# rules.mk: targets for the whole repository: all tests, the demo, format and lint.

# Runs the Python tests of a folder with Debian's Python, which has the modules.
PYTHON := /usr/bin/python3
pytest = $(PYTHON) -c 'import pytest' 2>/dev/null || { echo 'make $@: pytest is missing: run scripts/setup' >&2; exit 2; }; \
    PYTHONPATH=scripts $(PYTHON) -B -m pytest -c scripts/pytest.ini --rootdir=. $(if $(ONLY),-k '$(ONLY)') $(1)

##@ Everything at once
test: ## all tests, ends with `N passed, N failed` (TEST_PARTS='test-ref test-bench': some of them)
	$(start)MAKE='$(MAKE)' scripts/test.sh
demo: lib ## a short fuzz run (TIME=60 seconds per target, TARGET= ENGINE= JOBS=) and a quick benchmark, with their reports
	$(start)MAKE='$(MAKE)' TIME='$(or $(TIME),60)' scripts/demo.sh
coverage: build/cov/replay build/cov/ref-tests ## what seeds and tests reach in ref/; status 1 if unreached code is not explained
	@scripts/coverage.py
test-coverage: build/cov/replay build/cov/ref-tests ## the same as tests, without a report
	@scripts/coverage.py --test
test-scripts: ## tests of scripts/ (ONLY=expression for pytest -k)
	@$(call pytest,scripts/tests)
.PHONY: test demo coverage test-coverage test-scripts

##@ Style
# Every compiler that must build the C code without a warning. These objects are made only for the
# warnings, so they have folders of their own.
LINT_CC := gcc-12 clang-14 clang-19
LINT_SRC := $(sort $(wildcard ref/*.c ref/examples/*.c $(FUZZ_FOLDERS:%=fuzz/%/*.c) fuzz/sim/*.c fuzz/runtimes/*.c fuzz/conform/*.c fuzz/subjects/template*.c))

define lint_rules
build/lint-$(1)/%.o: %.c | $(REF_STAGED)
	$$(call say,$(1),$$<)
	@mkdir -p $$(@D)
	$$(Q)$(1) $$(CSTD) $$(WARN) -O2 $$(call includes,$$<) -Ibuild/include -MMD -MP -c $$< -o $$@
lint-$(1): $$(LINT_SRC:%.c=build/lint-$(1)/%.o)
.PHONY: lint-$(1)
endef
$(foreach cc,$(LINT_CC),$(eval $(call lint_rules,$(cc))))

FORMAT_SRC = $(sort $(shell find ref fuzz bench -name "*.[ch]" -o -name "*.cc"))
format: ## formats all C and C++ sources in place
	clang-format -i $(FORMAT_SRC)

# clang-tidy over all C except files that include generated headers or those of an engine. tidy-quick has the checks that
# take a tenth of a second per file, tidy also those of the static analyzer (some ten minutes). COUNTED and CONDITION
# choose one of the programs in a file. A file is checked again if it, a header that it includes or .clang-tidy has
# changed.
TIDY_SRC := $(filter-out fuzz/runtimes/shims/% fuzz/runtimes/spec/% fuzz/subjects/wabt_rt.c bench/programs/glue.c \
    ref/examples/wasm2c/% ref/tests/self/% ref/tests/wasm/%,$(sort $(shell find ref fuzz bench -name '*.c')))
tidy_flags = $(CSTD) $(call includes,$(1)) $(if $(filter bench/%,$(1)),-Ibench -Ibench/programs -Ibench/gate \
    $(call includes,fuzz/) $(BENCH_DEFINES) -DBENCH_ORDERS='"chosen"' -DBENCH_SITE='"none"' -DREF_CANCELS_WAITS) \
    $(if $(filter fuzz/sim/%,$(1)),-Ifuzz/sim -Ifuzz/sim/litmus -DCOUNTED -DCONDITION) -Ibuild/include
define tidy_rules
build/$(1)/%.ok: %.c .clang-tidy | $(REF_STAGED)
	$$(call say,TIDY,$$<)
	@mkdir -p $$(@D)
	$$(Q)$$(call have,clang-tidy) --quiet $(2) $$< -- $$(call tidy_flags,$$<) 2>$$(@:.ok=.errors) || \
	    { grep -v 'warnings* generated' $$(@:.ok=.errors); exit 1; }
	$$(Q)clang $$(call tidy_flags,$$<) -MM -MP -MT $$@ -MF $$(@:.ok=.d) $$< && touch $$@
$(1): $(TIDY_SRC:%.c=build/$(1)/%.ok)
.PHONY: $(1)
endef
$(eval $(call tidy_rules,tidy-quick,'--checks=-clang-analyzer-*'))
$(eval $(call tidy_rules,tidy,))

test-lint: ## no warnings from gcc 12, clang 14 and clang 19; includes; format of all C; clang-tidy without its analyzer
	@passed=0; failed=0; \
	check() { name=$$1; shift; if "$$@"; then echo "ok   lint_$$name"; passed=$$((passed + 1)); \
	    else echo "FAIL lint_$$name"; failed=$$((failed + 1)); fi; }; \
	for cc in $(LINT_CC); do \
	    command -v $$cc >/dev/null || echo "make: $$cc is missing: run scripts/setup" >&2; \
	    check no_warning_$$cc $(MAKE) --no-print-directory -k lint-$$cc; \
	done; \
	check includes fuzz/tests/includes.py build/lint-clang-14; \
	check format clang-format --dry-run -Werror $(FORMAT_SRC); \
	check tidy $(MAKE) --no-print-directory -k tidy-quick; \
	echo "$$passed passed, $$failed failed"; [ $$failed = 0 ]
lint: test-lint tidy ## that, and clang-tidy with its static analyzer
.PHONY: test-lint format lint

.DEFAULT:
	@echo "make: there is no target or file '$@': 'make help' lists the targets" >&2; exit 2
