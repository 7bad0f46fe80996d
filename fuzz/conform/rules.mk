# rules.mk: real threads against every outcome that the rules allow. See README.md.

##@ Real threads, judged
CONFORM_SRC := $(sort $(wildcard fuzz/conform/*.c))
$(CONFORM_SRC:%.c=build/plain/%.o): CFLAGS.plain += -Ifuzz
build/plain/conform: $(CONFORM_SRC:%.c=build/plain/%.o) $(FUZZ_CORE:%.c=build/plain/%.o) \
    $(call interleave_of,plain) build/plain/libpagebox.a
	$(call say,LD,$@)
	$(Q)$(CC.plain) $(CFLAGS.plain) $(FUZZ_WRAP) $(FUZZ_SHOWN) $^ $(FUZZ_LIBS) -o $@
# A runtime in C whose shim supports threads.
CONFORM_SHIM = $(if $(shell grep -l '[.]is_threaded = true' fuzz/runtimes/shims/$(RUNTIME_SHIM).c 2>/dev/null),$(RUNTIME_WANTED))
conform: build/plain/conform $(SUBJECT_WANTED) $(CONFORM_SHIM) ## real threads against all allowed outcomes: RUNTIME=node|deno|bun|jsc|js102|firefox|chromium|/path|wamr, or SUBJECT=, or the reference (TIME=60 ONLY=program INPUT=file RANDOM=24 SEED= HANG=5 FAULT=)
	@SUBJECT=$(call quote,$(SUBJECT)) scripts/conform.py $(if $(RUNTIME),--runtime '$(RUNTIME)') $(if $(TIME),--time '$(TIME)') \
	    $(if $(ONLY),--only '$(ONLY)') $(if $(INPUT),--input $(call quote,$(INPUT))) $(if $(RANDOM),--random '$(RANDOM)') $(if $(SEED),--seed '$(SEED)') \
	    $(if $(HANG),--hang '$(HANG)') $(if $(FAULT),--fault '$(FAULT)')
.PHONY: conform
conform-power: build/plain/conform ## does make conform find bugs? plants faults in the driver of RUNTIME= and in ref/ (TIME=60 each, ONLY=regex)
	@scripts/conform-power.py $(if $(RUNTIME),--runtime '$(RUNTIME)') $(if $(TIME),--time '$(TIME)') $(if $(ONLY),--only '$(ONLY)')
.PHONY: conform-power
test-conform: build/plain/conform ## the specification machine, and a few seconds of real threads on the reference and node (ONLY=expression for pytest -k)
	@$(call pytest,fuzz/conform/tests)
.PHONY: test-conform
