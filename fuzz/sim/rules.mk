# rules.mk of fuzz/sim: the concurrency engine's own tests, the litmus tests, its benchmark.
# (`make explore` is in explore.mk, ref/ under the engine in ../engine.mk.)
#
# Code that the engine runs ("seen") is compiled with -fsanitize=thread by SIM_CC: clang (14), clang-19
# or gcc. Its calls of malloc, memcpy and similar functions are renamed to the engine's.
SIM_CC ?= clang
SIM_SRC := $(filter-out %_main.c,$(sort $(wildcard fuzz/sim/*.c)))
SIM_OBJ := $(SIM_SRC:%.c=build/plain/%.o)
ifndef SIM_LIB_RULE
SIM_LIB_RULE := 1
$(SIM_OBJ): CFLAGS.plain := -O3 -g
build/plain/libsim.a: $(SIM_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@.new && $(AR) rcs $@.new $^ && mv $@.new $@
endif

SIM_SEEN := build/sim-seen-$(SIM_CC)
SIM_LITMUS_SRC := $(sort $(wildcard fuzz/sim/litmus/*.c))
SIM_TESTS_SRC := $(sort $(wildcard fuzz/sim/tests/*.c))
LITMUS ?= fuzz/sim/litmus fuzz/sim/litmus/text
# C tests from elsewhere are linked in as well.
SIM_LITMUS_MORE := $(filter-out $(SIM_LITMUS_SRC),$(sort $(wildcard $(filter %.c,$(LITMUS)) \
    $(addsuffix /*.c,$(filter-out %.c %.litmus,$(LITMUS))))))

define sim_see
	@mkdir -p $(@D)
	$(Q)$(call have,$(SIM_CC)) $(CSTD) $(WARN) -O2 -g -fsanitize=thread -Ifuzz/sim -Ifuzz/sim/litmus -Iref/tests -MMD -MP -c $< -o $@
	$(Q)objcopy --redefine-syms=fuzz/sim/redefine.syms $@
endef
$(SIM_SEEN)/%.o: %.c fuzz/sim/redefine.syms
	$(call say,CC,$< (seen by the engine))
	$(sim_see)
$(SIM_SEEN)/more/%.o: %.c fuzz/sim/redefine.syms
	$(call say,CC,$< (seen by the engine))
	$(sim_see)

build/litmus: $(SIM_LITMUS_SRC:%.c=$(SIM_SEEN)/%.o) build/plain/fuzz/sim/litmus_main.o build/plain/libsim.a
	$(call say,LD,$@)
	$(Q)$(SIM_CC) -g -rdynamic -o $@ $^ -pthread
build/litmus-more: $(foreach f,$(SIM_LITMUS_MORE),$(SIM_SEEN)/more/$(f:.c=.o)) build/plain/fuzz/sim/litmus_main.o build/plain/libsim.a
	$(call say,LD,$@)
	$(Q)$(SIM_CC) -g -rdynamic -o $@ $^ -pthread
build/test-sim: $(SIM_TESTS_SRC:%.c=$(SIM_SEEN)/%.o) build/plain/ref/tests/runner.o build/plain/libsim.a
	$(call say,LD,$@)
	$(Q)$(SIM_CC) -g -rdynamic -o $@ $^ -pthread
# The judge enumerates every graph from the axioms by brute force, and contains no code of the engine.
build/judge: $(addprefix build/plain/fuzz/sim/tests/judge/,judge.o program.o)
	$(call say,LD,$@)
	$(Q)$(CC) -g -o $@ $^
build/litmus-generate: build/plain/fuzz/sim/tests/judge/generate.o
	$(call say,LD,$@)
	$(Q)$(CC) -g -o $@ $^
build/plain/fuzz/sim/bench/main.o: WARN += -Ifuzz/sim
build/bench-sim: build/plain/fuzz/sim/bench/main.o $(SIM_SEEN)/fuzz/sim/bench/programs.o build/plain/libsim.a
	$(call say,LD,$@)
	$(Q)$(SIM_CC) -g -o $@ $^ -pthread
build/plain/fuzz/sim/bench/search.o: WARN += -Ifuzz/sim
build/bench-search: build/plain/fuzz/sim/bench/search.o $(SIM_SEEN)/fuzz/sim/bench/searched.o build/plain/libsim.a
	$(call say,LD,$@)
	$(Q)$(SIM_CC) -g -o $@ $^ -pthread
build/bench-relacy: fuzz/sim/bench/relacy.cc
	$(call header,relacy/relacy.hpp,g++ -x c++,relacy-dev)
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)g++ -std=c++17 -O2 -w -MMD -MP -o $@ $<
build/litmus-relacy: fuzz/sim/litmus/relacy.cc build/plain/libsim.a
	$(call header,relacy/relacy.hpp,g++ -x c++,relacy-dev)
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)g++ -std=c++17 -O1 -w -MMD -MP -o $@ $< build/plain/libsim.a -pthread

##@ The concurrency engine
litmus: $(if $(strip $(SIM_LITMUS_MORE)),build/litmus-more,build/litmus) ## litmus tests: exhaustively, then at random [LITMUS=file-or-folder SIM_CC=clang-19]
	@scripts/litmus.py $< $(LITMUS)
litmus-relacy: build/litmus build/litmus-relacy ## checks that the engine reaches what Relacy reaches
	@scripts/litmus.py --relacy build/litmus-relacy build/litmus fuzz/sim/litmus/text
# A fixed number of programs rather than a time; test-sim-long runs more.
SIM_JUDGED ?= all
SIM_JUDGE := fuzz/sim/tests/judge
test-sim: build/test-sim build/litmus build/judge build/litmus-generate ## tests of the engine [SIM_JUDGED= SIM_CC=clang-19 or gcc]
	@fuzz/sim/tests/run.sh $(SIM_JUDGED)
test-sim-long: build/judge build/litmus-generate build/litmus ## compares the search with the judge [SEED=1 COUNT=20000 CLASSES=all JOBS=2]
	@$(SIM_JUDGE)/compare.py --jobs $(or $(JOBS),2) $(or $(SEED),1) $(or $(COUNT),20000) $(or $(CLASSES),all)
test-sim-c: build/judge build/litmus-generate explore-lib ## compares make explore with the judge on C programs, clang and clang-19 [SEED=1 COUNT=20 CLASSES=...]
	@$(SIM_JUDGE)/compare_c.py $(or $(SEED),1) $(or $(COUNT),20) $(or $(CLASSES),loops awaits locks monitors waits)
test-sim-alike: explore-lib ## compares SET=symmetric=1 with the search without it, on C programs [SEED=1 COUNT=100]
	@$(SIM_JUDGE)/compare_alike.py $(or $(SEED),1) $(or $(COUNT),100)
bench-sim: build/bench-sim build/bench-relacy build/bench-search ## the engine's speed beside Relacy's; the cost of searches [TIME=60 seconds per program]
	@build/bench-sim && build/bench-relacy && build/bench-search $(or $(TIME),60)
# The engine's arm64 stack switch, on any machine: cross-compiled by gcc, run by qemu-user.
ARM64 := aarch64-linux-gnu-
build/arm64/seen/%.o: %.c fuzz/sim/redefine.syms
	$(call say,CC,$< (arm64, seen by the engine))
	@mkdir -p $(@D)
	$(Q)$(ARM64)gcc $(CSTD) $(WARN) -O2 -g -fsanitize=thread -Ifuzz/sim -Ifuzz/sim/litmus -MMD -MP -c $< -o $@
	$(Q)$(ARM64)objcopy --redefine-syms=fuzz/sim/redefine.syms $@
build/arm64/%.o: %.c
	$(call say,CC,$< (arm64))
	@mkdir -p $(@D)
	$(Q)$(ARM64)gcc $(CSTD) $(WARN) -O2 -g -MMD -MP -c $< -o $@
build/arm64/litmus: $(SIM_LITMUS_SRC:%.c=build/arm64/seen/%.o) build/arm64/fuzz/sim/litmus_main.o \
    $(SIM_SRC:%.c=build/arm64/%.o)
	$(call say,LD,$@)
	$(Q)$(ARM64)gcc -static -o $@ $^ -pthread
litmus-arm64: ## the litmus tests on a simulated arm64 (gcc-aarch64-linux-gnu, qemu-user)
	@command -v $(ARM64)gcc qemu-aarch64 >/dev/null || { echo "make litmus-arm64: install" \
	    "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2; exit 2; }
	@$(MAKE) --no-print-directory build/arm64/litmus
	@qemu-aarch64 build/arm64/litmus --quiet --runs 2000 fuzz/sim/litmus
.PHONY: litmus litmus-relacy litmus-arm64 test-sim test-sim-long test-sim-c test-sim-alike bench-sim
