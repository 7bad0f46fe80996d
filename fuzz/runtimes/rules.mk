# rules.mk: real runtimes as subjects: the two doors, the shims, the make targets. See README.md.

##@ Real runtimes
# The runtime that make fuzz, replay and shrink run on: RUNTIME=node, jsc:bbq, pipe:COMMAND, SHIM:LIBRARY.
RUNTIME_WITH = $(if $(RUNTIME),scripts/runtimes.py with '$(RUNTIME)' --)
# Which object that needs: pipe.so, or a shim's.
RUNTIME_SHIM = $(subst -,_,$(firstword $(subst :, ,$(RUNTIME))))
RUNTIME_WANTED = $(if $(RUNTIME),build/runtimes/$(if $(wildcard fuzz/runtimes/shims/$(RUNTIME_SHIM).c*),$(RUNTIME_SHIM),pipe).so)

# Findings become a .js for a JavaScript engine, a .wast for a library.
RUNTIME_SCRIPT = $(basename $(notdir $(INPUT))).$(if $(filter %/pipe.so,$(RUNTIME_WANTED)),js,wast)

# The model predicts both a memory and its twin, so it needs room for both.
RUNTIME_SRC := fuzz/runtimes/runtime.c fuzz/runtimes/guest.c fuzz/runtimes/script.c fuzz/judges/model.c
# SSE2 cannot multiply 32-bit lanes: the replacement code makes the digest of blocks slower.
RUNTIME_FLAGS := -O2 -g -fno-tree-vectorize -fPIC -shared -Wl,-Bsymbolic -DMODEL_ARENA_BLOCKS=2048 -Ifuzz -Ifuzz/judges -Ifuzz/runtimes
RUNTIME_NEEDS := $(RUNTIME_SRC) fuzz/subject.h fuzz/judges/model.h $(wildcard fuzz/runtimes/*.h)
# Replaces the old file with a new one, because the old one may be running.
build/runtimes/pipe.so: fuzz/runtimes/pipe.c fuzz/runtimes/protocol.c $(RUNTIME_NEEDS)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) $(WARN) $(RUNTIME_FLAGS) $(filter %.c,$^) -o $@.new && mv $@.new $@
# SHIM_FLAGS: where the runtime's headers and its library are, "-I/x/include -L/x/lib -lx".
build/runtimes/%.so: fuzz/runtimes/shims/%.c fuzz/runtimes/inside.c $(RUNTIME_NEEDS)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) $(RUNTIME_FLAGS) -Wall $(filter %.c,$^) $(SHIM_FLAGS) -o $@.new && mv $@.new $@ || { \
	    echo 'make $@: say where its headers and its library are, SHIM_FLAGS="-I... -L... -l...": see fuzz/runtimes/README.md' >&2; exit 2; }

# wabt's interpreter from Debian's package. It is C++, and compiled for programs: in a shared object its symbols are
# local, and its stdin, stdout and stderr are the shim's.
build/runtimes/wabt.so: fuzz/runtimes/shims/wabt.cc fuzz/runtimes/inside.c $(RUNTIME_NEEDS)
	@test -f /usr/include/wabt/interp/interp.h || { echo 'make $@: needs the Debian package wabt: apt-get install wabt, or scripts/setup runtimes' >&2; exit 2; }
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)g++ -std=c++17 -O2 -g -fPIC -Wall -Wextra -Ifuzz -Ifuzz/runtimes \
	    -DPAGEBOX_WABT_VERSION='"$(shell dpkg-query -W -f '$${Version}' wabt 2>/dev/null)"' -c $< -o $(@:.so=.o)
	$(Q)echo '{ global: pagebox_subject; local: *; };' >$(@:.so=.map)
	$(Q)objcopy --redefine-sym stdin=wabt_stdin --redefine-sym stdout=wabt_stdout --redefine-sym stderr=wabt_stderr "$$(g++ -print-file-name=libwabt.a)" $(@:.so=.a)
	$(Q)$(CC) $(CSTD) $(WARN) $(RUNTIME_FLAGS) $(filter %.c,$^) $(@:.so=.o) $(@:.so=.a) -lstdc++ -lm \
	    -Wl,--version-script=$(@:.so=.map) -o $@.new && mv $@.new $@

runtimes: ## real engines for RUNTIME=: the installed ones with their versions, and how to get the others
	@scripts/runtimes.py
runtimes-sweep: ## fuzzes every installed engine, TIME=600 s each, and writes results/runtimes/: engines x rules, findings (TIME= RUNTIME=a,b EMPTY=1 JOBS= SEED= RULES_OFF= OF=)
	@TIME='$(TIME)' RUNTIME='$(RUNTIME)' EMPTY='$(EMPTY)' JOBS='$(JOBS)' SEED='$(SEED)' RULES_OFF='$(RULES_OFF)' OF='$(OF)' scripts/runtimes_sweep.py
.PHONY: runtimes runtimes-sweep

build/runtimes/echo: fuzz/runtimes/echo.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) $(WARN) -O2 $< -o $@
bench-runtimes: build/bare/memory_fuzzer build/runtimes/pipe.so build/runtimes/echo ## programs per second of a core: harness and pipe with an echo, and the engine itself (RUNTIME=node-npm:liftoff RUNS=20000)
	@RUNTIME='$(RUNTIME)' RUNS='$(RUNS)' scripts/runtimes_rates.py
.PHONY: bench-runtimes

# Two halves: planted bugs need no engine; the rest tests the installed engines.
test-planted-runtimes: build/runtimes/pipe.so build/plain/replay ## bugs planted into a runtime's answers are named, each by its program
	@scripts/runtimes_test.py quick
test-runtimes: build/runtimes/pipe.so build/plain/replay build/plain/shrink build/bare/memory_fuzzer $(if $(wildcard /usr/include/wabt/interp/interp.h),build/runtimes/wabt.so) ## that; then each found by the fuzzer without seeds; then every installed engine, TIME=60 s each (TIME= RUNTIME=jsc,bun)
	@scripts/runtimes_test.py quick && scripts/runtimes_test.py planted $(TIME) && RUNTIME='$(RUNTIME)' scripts/runtimes_test.py engines $(TIME)
.PHONY: test-planted-runtimes test-runtimes

spec: lib ## the specification's own tests of memories, on our memories and every installed engine: TESTS=folder, your checkout of its test suite (TESTS= RUNTIME=)
	@test -n '$(TESTS)' || { echo 'make spec: say TESTS=folder, a checkout of the specification'"'"'s test suite' >&2; exit 2; }
	@scripts/spec.py '$(TESTS)' $(RUNTIME)
.PHONY: spec
