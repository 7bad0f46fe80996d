# engine.mk: ref/ under the concurrency engine: `make verify`, the interleaved halves of the fuzz
# targets, `make bench-engine`, `make test-engine`. The engine itself: fuzz/sim/README.md.

# The reference as the engine sees it: every access is a call, so that schedules and stale reads are
# choices; os_sim.c in place of os_linux.c. clang would merge equal atomics of different branches
# into one place, which the flags after -mllvm forbid. No coverage by a fuzzing engine: its counters
# would be accesses like any other; the engine counts who read from whom (sim_coverage).
ENGINE_APART := $(addprefix -mllvm ,-sink-common-insts=false -enable-tail-merge=false \
    -hoist-common-insts=false)
ENGINE_SEEN := -O2 -g -fsanitize=thread $(ENGINE_APART)
ENGINE_REF := $(filter-out ref/os_linux.c,$(REF_SRC)) fuzz/reference/os_sim.c
ENGINE_REF_OBJ := $(ENGINE_REF:%.c=build/sim/seen/%.o)
ENGINE_REF_OBJ_COV := $(ENGINE_REF:%.c=build/sim-cov/seen/%.o)
# What runs the operations is not seen by the engine: it looks on.
ENGINE_FUZZ := fuzz/reference/subject_ref.c fuzz/reference/os_sim_faults.c fuzz/reference/os_none.c fuzz/judges/history.c $(wildcard fuzz/judges/concurrent_*.c) \
    fuzz/runners/operations.c $(wildcard fuzz/runners/interleave*.c)

# build/sim-cov/ is the same with counters for `make coverage`, which the engine does not see: clang
# leaves them out of what it instruments, unless they are atomic. os_sim.c has none: its functions have os_linux.c's names.
SEEN.sim-cov = -DNDEBUG $(if $(filter ref/%,$<),-fprofile-instr-generate \
    -fprofile-update=single)
define engine_seen_rules
build/$(1)/seen/%.o: %.c fuzz/sim/redefine.syms
	$$(call say,CC,$$< (seen))
	@mkdir -p $$(@D)
	$$(Q)$$(call have,$$(CLANG)) $$(CSTD) $$(WARN) $$(ENGINE_SEEN) $$(SEEN.$(1)) -Iref -Ifuzz -Ifuzz/sim -MMD -MP -c $$< -o $$@
	$$(Q)objcopy --redefine-syms=fuzz/sim/redefine.syms $$@
endef
$(foreach c,sim sim-cov,$(eval $(call engine_seen_rules,$(c))))

# build/sim/, and with libFuzzer's coverage build/sim-libfuzzer/. AFL++ gets the engine's coverage laid
# over its own map (interleave.c), which an instrumented object could not reach.
CC.sim = $(call have,$(CLANG))
CC.sim-libfuzzer = $(call have,$(CLANG))
CC.sim-cov = $(call have,$(CLANG))
CFLAGS.sim := -O2 -g
CFLAGS.sim-cov := -O2 -g
CFLAGS.sim-libfuzzer := -O2 -g $(FUZZ_COVERAGE)

define engine_config_rules
build/$(1)/%.o: %.c
	$$(call say,CC,$$<)
	@mkdir -p $$(@D)
	$$(Q)$$(CC.$(1)) $$(CSTD) $$(WARN) $$(CFLAGS.$(1)) $$(call includes,$$<) -MMD -MP -c $$< -o $$@
# One object, whose copy of the reference nobody else can see: the harness has a second one, for
# the programs of a single thread.
build/$(1)/interleave.o: $(if $(filter sim-cov,$(1)),$(ENGINE_REF_OBJ_COV),$(ENGINE_REF_OBJ)) \
    $$(ENGINE_FUZZ:%.c=build/$(1)/%.o)
	$$(call say,LD,$$@)
	$$(Q)ld -r $$^ -o $$@ && objcopy --wildcard --keep-global-symbol='interleave_*' $$@
endef
$(foreach c,sim sim-libfuzzer sim-cov,$(eval $(call engine_config_rules,$(c))))

# Scenarios call ref/ themselves; pairs run as programs do, on the copy of ref/ within interleave.o.
build/sim/verify: $(ENGINE_REF_OBJ) build/sim/fuzz/targets/scenarios.o build/sim/fuzz/targets/verify.o \
    build/sim/interleave.o $(addprefix build/plain/fuzz/,programs/op.o programs/pairs.o reference/fault.o \
    judges/model.o judges/rule.o judges/oracle.o runners/operations.o) build/plain/libsim.a
	$(call say,LD,$@)
	$(Q)$(call have,$(CLANG)) $^ -lcjson -pthread -o $@

##@ The concurrency engine on the reference
verify: build/sim/verify ## every schedule of small scenarios of ref/, or FILTER=^pairs of pairs of calls [JOBS= FILTER= TIME=seconds-each SET=locks=1]
	@JOBS='$(JOBS)' FILTER='$(FILTER)' TIME='$(TIME)' SET='$(SET)' scripts/verify.py
advise: build/sim/verify ## the weakest order for each name of ref/orders.h, by the scenarios [FILTER= TIME=5 ORDERS=regex JOBS=]
	@JOBS='$(JOBS)' FILTER='$(FILTER)' TIME='$(TIME)' ORDERS='$(ORDERS)' scripts/advise.py
bench-engine: build/sim/verify ## executions a second of scenarios under the engine, choices from bytes (SCENARIOS=names)
	@build/sim/verify --speed 3 $(or $(SCENARIOS),mailbox-2x1 mailbox-2x2 waiters-notify growth-2)
test-engine: build/sim/verify build/plain/replay ## ref/ under the engine: exact graph counts, seeds, planted defects
	$(start)MAKE='$(MAKE)' fuzz/tests/engine.sh
.PHONY: advise verify bench-engine test-engine
