# rules.mk: real runtimes as subjects: the two doors, the shims, what runs them. README.md.

##@ Real runtimes
# The runtime that make fuzz, replay and shrink run on: RUNTIME=node, jsc:bbq, pipe:COMMAND, SHIM:LIBRARY.
RUNTIME_WITH = $(if $(RUNTIME),scripts/runtimes.py with '$(RUNTIME)' --)
RUNTIME_WANTED = $(if $(RUNTIME),build/runtimes/pipe.so)

# The model foretells, on both sides of a memory and its twin: it wants room for both.
RUNTIME_SRC := fuzz/runtimes/runtime.c fuzz/runtimes/guest.c fuzz/runtimes/script.c fuzz/model.c
RUNTIME_FLAGS := -O2 -g -fPIC -shared -Wl,-Bsymbolic -DMODEL_ARENA_BLOCKS=2048 -Ifuzz -Ifuzz/runtimes
build/runtimes/pipe.so: $(RUNTIME_SRC) fuzz/runtimes/pipe.c fuzz/subject.h fuzz/model.h $(wildcard fuzz/runtimes/*.h)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) $(WARN) $(RUNTIME_FLAGS) $(filter %.c,$^) -o $@

runtimes: ## real engines for RUNTIME=: which are installed, in which version, and how to get the others
	@scripts/runtimes.py
.PHONY: runtimes
