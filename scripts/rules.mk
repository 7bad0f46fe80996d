# rules.mk: what concerns the whole repository: all tests, the demo, format and lint.

# Runs the tests in Python of a folder, with Debian's Python, where its modules are.
PYTHON := /usr/bin/python3
pytest = $(PYTHON) -c 'import pytest' 2>/dev/null || { echo 'make $@: pytest is missing: run scripts/setup' >&2; exit 2; }; \
    PYTHONPATH=scripts $(PYTHON) -B -m pytest -c scripts/pytest.ini --rootdir=. $(if $(ONLY),-k '$(ONLY)') $(1)

##@ Everything at once
test: ## all tests, ends with `N passed, N failed` (TEST_PARTS='test-ref test-bench': some of them)
	$(start)MAKE='$(MAKE)' scripts/test.sh
demo: lib ## a short fuzz (TIME=60 seconds a target, TARGET= ENGINE= JOBS=) and a quick benchmark, with their reports
	$(start)MAKE='$(MAKE)' TIME='$(or $(TIME),60)' scripts/demo.sh
coverage: build/cov/replay build/cov/ref-tests ## what seeds and tests reach in ref/; 1 when anything unreached is not explained
	@scripts/coverage.py
test-coverage: build/cov/replay build/cov/ref-tests ## the same as tests, without a report
	@scripts/coverage.py --test
test-scripts: ## tests of scripts/ (ONLY=expression for pytest -k)
	@$(call pytest,scripts/tests)
.PHONY: test demo coverage test-coverage test-scripts

##@ Style
# Every compiler that must build the C code without a warning. Objects are made and dropped only
# to be warned about, so they have folders of their own.
LINT_CC := gcc-12 clang-14 clang-19
LINT_SRC := $(sort $(wildcard ref/*.c ref/examples/*.c $(FUZZ_FOLDERS:%=fuzz/%/*.c) fuzz/sim/*.c fuzz/runtimes/*.c fuzz/conform/*.c))

define lint_rules
build/lint-$(1)/%.o: %.c | $(REF_STAGED)
	$$(call say,$(1),$$<)
	@mkdir -p $$(@D)
	$$(Q)$(1) $$(CSTD) $$(WARN) -O2 $$(call includes,$$<) -Ibuild/include -MMD -MP -c $$< -o $$@
lint-$(1): $$(LINT_SRC:%.c=build/lint-$(1)/%.o)
.PHONY: lint-$(1)
endef
$(foreach cc,$(LINT_CC),$(eval $(call lint_rules,$(cc))))

test-lint: ## ref/ and fuzz/ build without a warning: gcc 12, clang 14, clang 19
	@passed=0; failed=0; \
	for cc in $(LINT_CC); do \
	    command -v $$cc >/dev/null || echo "make: $$cc is missing: run scripts/setup" >&2; \
	    if $(MAKE) --no-print-directory -k lint-$$cc; \
	    then echo "ok   lint_no_warning_$$cc"; passed=$$((passed + 1)); \
	    else echo "FAIL lint_no_warning_$$cc"; failed=$$((failed + 1)); fi; \
	done; echo "$$passed passed, $$failed failed"; [ $$failed = 0 ]

FORMAT_SRC = $(sort $(shell find ref fuzz bench -name "*.[ch]" -o -name "*.cc"))
format: ## formats all C and C++ sources in place
	clang-format -i $(FORMAT_SRC)
lint: test-lint ## that, who includes whom in fuzz/, the form of all sources, and clang-tidy over ref/, fuzz/conform/, judges and programs
	@fuzz/tests/includes.py build/lint-clang-14
	clang-format --dry-run -Werror $(FORMAT_SRC)
	clang-tidy --quiet $(wildcard ref/*.c) -- $(CSTD) -Iref
	clang-tidy --quiet $(wildcard fuzz/conform/*.c fuzz/judges/*.c fuzz/programs/*.c) -- $(CSTD) $(call includes,fuzz/conform/conform.c)
.PHONY: test-lint format lint

.DEFAULT:
	@echo "make: there is no target or file '$@': 'make help' lists the targets" >&2; exit 2
