# explore.mk: runs other people's C under the engine: `make explore SRC=file.c`. See EXPLORE.md.

# The engine and its pthread layer as one library; the driver is linked with each program.
SIM_SRC := $(filter-out %_main.c,$(sort $(wildcard fuzz/sim/*.c)))
SIM_OBJ := $(SIM_SRC:%.c=build/plain/%.o)
ifndef SIM_LIB_RULE
SIM_LIB_RULE := 1
build/plain/libsim.a: $(SIM_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@.new && $(AR) rcs $@.new $^ && mv $@.new $@
endif

# A routine of pthread_once may end with a C++ exception.
build/plain/fuzz/sim/posix_sync.o: WARN += -fexceptions

# One object that hides its names, except those that programs and compilers call, so that a program may
# use any other name.
build/plain/explore-engine.o: build/plain/fuzz/sim/explore_main.o build/plain/libsim.a
	$(call say,LD,$@)
	$(Q)ld -r -o $@.new $< --whole-archive build/plain/libsim.a
	$(Q)objcopy -w --keep-global-symbol='sim_*' --keep-global-symbol='__tsan_*' --keep-global-symbol='__emutls_v.*' --keep-global-symbol='__wrap_*' \
	    --keep-global-symbol=main $@.new $@ && rm -f $@.new

##@ Other people's code
# SRC, CFLAGS_SRC, ARGS, REPLAY and ROOT (where results/ is made) reach the recipe through its environment, so that
# paths may contain any character.
explore-lib: build/plain/explore-engine.o ## what scripts/explore.py links
explore: explore-lib ## SRC=file.c under the engine [ARGS= SCHED= TIME= SEED= JOBS= REPLAY= ROOT= CFLAGS_SRC= SET= VOLATILE=relaxed ADVISE=1 ADVISE_IN= ADVISE_TIME=10 CC_EXPLORE=clang]
	@[ -n "$$SRC$$REPLAY" ] || { echo "explore: which file? make explore SRC=file.c" >&2; exit 2; }
	$(if $(findstring command,$(origin CFLAGS)),@echo "explore: CFLAGS= would not reach your file: CFLAGS_SRC= does" >&2; exit 2)
	@scripts/explore.py $${SRC:+"$$SRC"} --cc '$(or $(CC_EXPLORE),clang)' --cflags="$$CFLAGS_SRC" --args="$$ARGS" \
	    $(if $(SCHED),--sched '$(SCHED)') $(if $(TIME),--time '$(TIME)') \
	    $(if $(SEED),--seed '$(SEED)') $(if $(JOBS),--jobs '$(JOBS)') \
	    $(if $(VOLATILE),--volatile '$(VOLATILE)') $(if $(ADVISE),--advise --advise-in '$(ADVISE_IN)' $(if $(ADVISE_TIME),--advise-time '$(ADVISE_TIME)')) $(if $(REPLAY),--replay "$$REPLAY") $(if $(findstring command,$(origin ROOT)),--root "$$ROOT") $(foreach s,$(SET),--set '$(s)')
explore-suite: explore-lib ## SUITES="folder..." public suites of concurrent programs: what is found [SUITES= SUITE_ARGS=]
	@[ -n '$(SUITES)' ] || { echo "explore-suite: which folders? make explore-suite SUITES=checkout" >&2; exit 2; }
	@scripts/explore-suite.py $(SUITE_ARGS) $(SUITES)
build/test-posix-search: fuzz/sim/tests/posix/search.c fuzz/sim/tests/posix/search_programs.c build/plain/ref/tests/runner.o build/plain/libsim.a
	$(call say,LD,$@)
	@mkdir -p $@.o
	$(Q)clang $(CSTD) $(WARN) -O1 -g -fsanitize=thread -c $(word 2,$^) -o $@.o/programs.o
	$(Q)objcopy --redefine-syms=fuzz/sim/redefine.syms $@.o/programs.o
	$(Q)$(CC) $(CSTD) $(WARN) -O2 -g -Ifuzz/sim -Iref/tests $< $@.o/programs.o $(filter %runner.o %.a,$^) -pthread -o $@
test-explore: explore-lib build/test-posix-search ## the examples of fuzz/sim/examples, each with its expected outcome
	@build/test-posix-search; searched=$$?; fuzz/sim/tests/explore.py && exit $$searched
.PHONY: explore-lib explore explore-suite test-explore
