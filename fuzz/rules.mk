# rules.mk: fuzz targets for libFuzzer and AFL++, the replay program, their tests.

##@ Fuzzing
# What every binary of the harness is made of; the engines' objects are built by the root's rule.
FUZZ_CORE := $(addprefix fuzz/programs/,op.c mutate.c combine.c pairs.c) \
    $(addprefix fuzz/reference/,subject_ref.c host_calls.c host_backing.c host_bytes.c \
    host_custom.c host_far.c host_libc.c host_life.c host_mailbox.c host_memory.c host_signal.c host_wait.c host_waiters.c os_wrap.c libc_wrap.c fault.c) \
    $(addprefix fuzz/judges/,model.c oracle.c sequence_memory.c sequence_mailbox.c rule.c) \
    $(addprefix fuzz/runners/,subject.c operations.c exec.c alone_memory.c alone_mailbox.c crash.c)
# Where headers of fuzz/ are found; the engine, fuzz/sim/, knows none of them.
FUZZ_FOLDERS := programs reference judges runners targets
FUZZ_TARGETS := $(patsubst fuzz/targets/%.c,%,$(sort $(wildcard fuzz/targets/*_fuzzer.c)))

# Calls that can be made to fail, and are kept account of: see os_wrap.h.
FUZZ_WRAPPED := $(shell grep -oE '__wrap_pb_os_[a-z_]+' fuzz/reference/os_wrap.c | sed s/__wrap_// | sort -u)
# And the C library's, below os_linux.c.
FUZZ_WRAPPED_C := $(shell grep -oE '__wrap_[a-z_]+' fuzz/reference/libc_wrap.c | sed s/__wrap_// | sort -u)
FUZZ_WRAP := $(FUZZ_WRAPPED:%=-Wl,--wrap=%) $(FUZZ_WRAPPED_C:%=-Wl,--wrap=%)
FUZZ_LIBS := -ldl -pthread
# What these ask the kernel once, and keep, lies in a section that the harness can empty (libc_wrap.c). They are linked in
# front of the library, which then need not give them.
FUZZ_ASKED := os_linux region_mapped
# So is the default allocator, which calls libc_wrap.c's malloc and the like, as nothing else does.
FUZZ_LIBC := malloc calloc realloc free
asked_of = $(FUZZ_ASKED:%=build/$(1)/asked/%.o) build/$(1)/asked/allocator.o
define fuzz_asked_rules
$(FUZZ_ASKED:%=build/$(1)/asked/%.o): build/$(1)/asked/%.o: build/$(1)/ref/%.o
	$$(call say,OBJCOPY,$$@)
	@mkdir -p $$(@D)
	$$(Q)objcopy --rename-section .bss=pb_asked $$< $$@
build/$(1)/asked/allocator.o: build/$(1)/ref/allocator.o
	$$(call say,OBJCOPY,$$@)
	@mkdir -p $$(@D)
	$$(Q)objcopy $(foreach f,$(FUZZ_LIBC),--redefine-sym $(f)=libc_wrap_$(f)) $$< $$@
endef
$(foreach c,libfuzzer bare afl plain asan cov,$(eval $(call fuzz_asked_rules,$(c))))
# The programs whose threads interleave: the reference as the concurrency engine sees it, and the
# engine (engine.mk).
interleave_of = build/sim$(filter -libfuzzer -cov,-$(1))/interleave.o build/plain/libsim.a

# All of the engine, and its entry points for subjects that are loaded (subjects/README.md).
FUZZ_SHOWN := -Wl,--whole-archive build/plain/libsim.a -Wl,--no-whole-archive \
    '-Wl,--export-dynamic-symbol=__tsan_*' '-Wl,--export-dynamic-symbol=sim_*'

# One configuration an engine: build/libfuzzer/, build/afl/; and build/bare/: libFuzzer without sanitizers, for what is
# tested in a process of its own.
FUZZ_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CC.libfuzzer = $(call have,$(CLANG))
CC.bare = $(CC.libfuzzer)
CC.afl = $(call have,afl-clang-fast)
# Without a call at each comparison: only byte mutations use what it tells, one mutation in 16, and
# it was a fifth of the time.
FUZZ_COVERAGE := -fsanitize=fuzzer-no-link -fno-sanitize-coverage=trace-cmp
CFLAGS.libfuzzer := -O2 -g $(FUZZ_SANITIZE) $(FUZZ_COVERAGE)
CFLAGS.bare := -O2 -g $(FUZZ_COVERAGE)
CFLAGS.afl := -O2 -g $(FUZZ_SANITIZE)
SANITIZE.libfuzzer := $(FUZZ_SANITIZE)
SANITIZE.afl := $(FUZZ_SANITIZE)
$(foreach c,libfuzzer bare afl,$(eval $(call config_rules,$(c))))
# The mutator and the byte form are no part of what is tested: what they do is not coverage.
build/libfuzzer/fuzz/programs/mutate.o build/libfuzzer/fuzz/programs/combine.o \
    build/libfuzzer/fuzz/programs/pairs.o: CFLAGS.libfuzzer := -O2 -g
build/libfuzzer/fuzz/programs/op.o: CFLAGS.libfuzzer := -O2 -g $(FUZZ_SANITIZE)
build/bare/fuzz/programs/mutate.o build/bare/fuzz/programs/combine.o build/bare/fuzz/programs/pairs.o \
    build/bare/fuzz/programs/op.o: CFLAGS.bare := -O2 -g

define fuzz_engine_rules
$(FUZZ_TARGETS:%=build/$(1)/%): build/$(1)/%: build/$(1)/fuzz/targets/%.o build/$(1)/fuzz/targets/target.o \
    $(FUZZ_CORE:%.c=build/$(1)/%.o) $$(call interleave_of,$(1)) $(call asked_of,$(1)) build/$(1)/libpagebox.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC.$(1)) $$(SANITIZE.$(1)) -fsanitize=fuzzer $(FUZZ_WRAP) $(FUZZ_SHOWN) $$^ $(FUZZ_LIBS) -o $$@
fuzz-build-$(1): $(FUZZ_TARGETS:%=build/$(1)/%)
.PHONY: fuzz-build-$(1)
endef
$(foreach c,libfuzzer bare afl,$(eval $(call fuzz_engine_rules,$(c))))

# The programs that take inputs as files.
FUZZ_TOOLS := replay shrink reproducer
define fuzz_config_rules
build/$(1)/replay: build/$(1)/fuzz/targets/replay.o
build/$(1)/shrink: build/$(1)/fuzz/targets/shrink.o build/$(1)/fuzz/targets/trial.o
build/$(1)/reproducer: $(addprefix build/$(1)/fuzz/targets/,reproducer.o tape.o trial.o)
build/$(1)/fuzz/targets/reproducer.o: $(wildcard fuzz/targets/program/*.h) fuzz/subject.h
$(FUZZ_TOOLS:%=build/$(1)/%): build/$(1)/fuzz/targets/input.o $(FUZZ_CORE:%.c=build/$(1)/%.o) \
    $(if $(filter cov,$(1)),build/cov/fuzz/targets/coverage_exit.o) \
    $$(call interleave_of,$(1)) $(call asked_of,$(1)) build/$(1)/libpagebox.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC.$(1)) $$(CFLAGS.$(1)) $$(LDFLAGS.$(1)) $(FUZZ_WRAP) $(if $(filter cov,$(1)),-Wl$(comma)--wrap=_exit) $(FUZZ_SHOWN) $$^ $(FUZZ_LIBS) -o $$@
endef
$(foreach c,plain asan cov,$(eval $(call fuzz_config_rules,$(c))))

# ---- Other people's memories and mailboxes, subjects/README.md ------------------------------------
SUBJECTS := $(patsubst fuzz/subjects/%.c,build/subjects/%.so,$(sort $(wildcard fuzz/subjects/*.c)))
# The header each of them needs, the package that has it, what it is linked with.
SUBJECT_HEADER.wabt_rt := wasm-rt.h
SUBJECT_PACKAGE.wabt_rt := wabt
# Debian's archive is position-independent but for one symbol, which binds to itself then.
SUBJECT_LINK.wabt_rt := build/subjects/wabt_rt_module.o -Wl,-Bsymbolic -lwasm-rt-impl
SUBJECT_FLAGS.wabt_rt := -Ibuild/subjects -isystem /usr/share/wabt/wasm2c
SUBJECT_HEADER.ck_ring := ck_ring.h
SUBJECT_PACKAGE.ck_ring := libck-dev
# Its inline functions convert as they please.
SUBJECT_FLAGS.ck_ring := -Wno-conversion -Wno-sign-conversion
subject_has = $(or $(if $(SUBJECT_HEADER.$(1)),,yes),$(shell echo '\#include <$(SUBJECT_HEADER.$(1))>' | \
    $(CC) -E -x c - >/dev/null 2>&1 && echo yes))

build/subjects/%.so: fuzz/subjects/%.c fuzz/subject.h
	@test -n '$(call subject_has,$*)' || { echo 'make $@: needs the Debian package' \
	    '$(SUBJECT_PACKAGE.$*): apt-get install $(SUBJECT_PACKAGE.$*), or scripts/setup test' >&2; exit 2; }
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) $(WARN) -O2 -g -fPIC -shared -Ifuzz $(SUBJECT_FLAGS.$*) $< $(SUBJECT_LINK.$*) -o $@
# As the concurrency engine sees it: each access is a call, answered by the program that loads it.
build/subjects/%.engine.so: fuzz/subjects/%.c fuzz/subject.h fuzz/sim/redefine.syms fuzz/subjects/build.sh
	$(call say,CC,$< (seen))
	@mkdir -p $(@D)
	$(Q)CLANG='$(CLANG)' SUBJECT_CFLAGS='$(WARN) $(SUBJECT_FLAGS.$*)' fuzz/subjects/build.sh -e $@ $< $(SUBJECT_LINK.$*)
build/subjects/wabt_rt.so: build/subjects/wabt_rt_module.o
# wasm2c's code as it makes it: without the asserts that it must be told of a handler of signals.
build/subjects/wabt_rt_module.o: fuzz/subjects/wabt_rt.wat
	@test -n '$(call subject_has,wabt_rt)' || { echo 'make $@: needs the Debian package wabt:' \
	    'apt-get install wabt, or scripts/setup test' >&2; exit 2; }
	$(call say,WASM2C,$<)
	@mkdir -p $(@D)
	$(Q)wat2wasm $< -o $(@:.o=.wasm) && wasm2c -n bulk $(@:.o=.wasm) -o $(@:.o=.c)
	$(Q)$(CC) -O2 -g -fPIC -w -DNDEBUG -c $(@:.o=.c) -o $@
subjects: ## builds the subjects of fuzz/subjects/ whose packages are there, build/subjects/*.so
	@$(foreach s,$(SUBJECTS:build/subjects/%.so=%),$(if $(call subject_has,$(s)),\
	    $(MAKE) -s --no-print-directory build/subjects/$(s).so || exit 2;,\
	    echo 'subject $(s) is left out: apt-get install $(SUBJECT_PACKAGE.$(s)), or scripts/setup test';))
.PHONY: subjects
# A subject of ours that is asked for is built; anybody else's builds it himself.
comma := ,
# What C programs for other libraries are put together from, beside the subject's source.
PARTS := $(or $(PARTS),$(PAGEBOX_PARTS),$(wildcard $(patsubst build/subjects/%.so,fuzz/subjects/%.map.h,$(filter build/subjects/%.so,$(SUBJECT:./%=%)))))
export PAGEBOX_PARTS := $(abspath $(PARTS))
# Where the rules stand, for what replay says of a finding.
export PAGEBOX_RULES := $(CURDIR)/$(firstword $(wildcard ref/RULES.md) ref/README.md)
SUBJECT_WANTED = $(filter $(SUBJECTS) $(SUBJECTS:.so=.engine.so),$(patsubst ./%,%,$(subst $(comma), ,$(SUBJECT))))

# Rules that are not checked: RULES_OFF=R7,R16-bulk (rule.h).
RULES_OFF ?= $(PAGEBOX_RULES_OFF)
export PAGEBOX_RULES_OFF := $(RULES_OFF)

# Beside the targets: what op.def says for engines, and the mutator for AFL++.
build/plain/opgen: $(addprefix build/plain/fuzz/programs/,opgen.o mutate.o combine.o pairs.o op.o)
	$(call say,LD,$@)
	$(Q)$(CC) $^ -o $@
build/plain/pagebox_mutator.so: $(addprefix fuzz/programs/,mutate_afl.c mutate.c combine.c pairs.c op.c mutate.h combine.h pairs.h chance.h op.h op.def)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) $(WARN) $(CFLAGS.plain) -shared -fPIC -fvisibility=default \
	    $(filter %.c,$^) -o $@
fuzz-build-afl: build/plain/pagebox_mutator.so
fuzz-build-libfuzzer fuzz-build-bare fuzz-build-afl: build/plain/opgen

fuzz: $(SUBJECT_WANTED) $(RUNTIME_WANTED) ## every target under both fuzzers, TIME=60 s each (TARGET= ENGINE= JOBS= SEED= SCHED= SUBJECT= RUNTIME= PARTS= RULES_OFF= SWARM= EMPTY=1 SYNC= REPEAT=)
	$(start)MAKE='$(MAKE)' TIME='$(TIME)' TARGET='$(TARGET)' ENGINE='$(or $(ENGINE),$(if $(RUNTIME),libfuzzer))' JOBS='$(JOBS)' \
	    SEED='$(SEED)' SUBJECT=$(call quote,$(SUBJECT)) EMPTY='$(EMPTY)' SYNC='$(SYNC)' REPEAT='$(REPEAT)' $(RUNTIME_WITH) scripts/fuzz.py
replay: build/asan/replay $(SUBJECT_WANTED) $(RUNTIME_WANTED) ## runs INPUT=file or folder under the sanitizers, prints its operations (TARGET= SUBJECT= RUNTIME= RULES_OFF= REPEAT= SCHED= SEED= TRACE=1)
	@test -n $(call quote,$(INPUT)) || { echo 'make replay: say INPUT=file-or-folder' >&2; exit 2; }
	@SUBJECT=$(call quote,$(SUBJECT)) REPEAT='$(REPEAT)' $(RUNTIME_WITH) build/asan/replay $(if $(TARGET),-t $(TARGET)) $(call quote,$(INPUT))
shrink: build/asan/shrink $(SUBJECT_WANTED) $(RUNTIME_WANTED) ## the smallest program that breaks what INPUT= breaks, into results/shrunk/ (TARGET= SUBJECT= RUNTIME= RULES_OFF= REPEAT=)
	@test -n $(call quote,$(INPUT)) || { echo 'make shrink: say INPUT=file' >&2; exit 2; }
	@mkdir -p results/shrunk
	@SUBJECT=$(call quote,$(SUBJECT)) REPEAT='$(REPEAT)' $(RUNTIME_WITH) build/asan/shrink $(if $(TARGET),-t $(TARGET)) \
	    -o $(call quote,results/shrunk/$(basename $(notdir $(INPUT))).ops) $(call quote,$(INPUT))
	@cat $(call quote,results/shrunk/$(basename $(notdir $(INPUT))).ops)
reproducer: build/asan/reproducer lib $(SUBJECT_WANTED) $(if $(RUNTIME),build/asan/replay $(RUNTIME_WANTED)) ## INPUT= as a C program of its own, into results/reproducers/, compiled and run; with RUNTIME= as one .js or .wast (TARGET= SUBJECT= SOURCES= RUNTIME= REPEAT= PARTS= RULES_OFF=)
	@test -n $(call quote,$(INPUT)) || { echo 'make reproducer: say INPUT=file' >&2; exit 2; }
	@mkdir -p results/reproducers
ifneq ($(RUNTIME),)
	@REPEAT='$(REPEAT)' PAGEBOX_RUNTIME_SCRIPT='results/reproducers/$(RUNTIME_SCRIPT)' $(RUNTIME_WITH) \
	    build/asan/replay -q $(if $(TARGET),-t $(TARGET)) $(call quote,$(INPUT)) || echo 'results/reproducers/$(RUNTIME_SCRIPT)'
else
	@SUBJECT=$(call quote,$(SUBJECT)) build/asan/reproducer $(if $(TARGET),-t $(TARGET)) \
	    -o $(call quote,results/reproducers/$(basename $(notdir $(INPUT)))) $(call quote,$(INPUT))
	@cd $(call quote,results/reproducers/$(basename $(notdir $(INPUT)))) && \
	    $(MAKE) --no-print-directory -s -B PAGEBOX='$(CURDIR)' && \
	    echo "$$PWD/finding.c, with this tree's library:" && \
	    if grep -q 'needs a weak memory order' finding.c; then \
	        if $(MAKE) --no-print-directory explore PAGEBOX='$(CURDIR)' $(if $(SOURCES),SOURCES='$(SOURCES)') TIME=60; then \
	            echo 'the search found nothing in 60 s: no schedule stands beside it'; \
	        fi; \
	    else env -u SUBJECT ./finding || true; fi
endif
corpus-promote: build/asan/replay ## makes seeds of the inputs INPUT= in corpus/, as text, where they run clean (TARGET= NAME=)
	@test -n $(call quote,$(INPUT)) || { echo 'make corpus-promote: say INPUT="file..."' >&2; exit 2; }
	@scripts/fuzz_corpus.py promote $(if $(TARGET),-t $(TARGET)) $(if $(NAME),-n '$(NAME)') $(INPUT)
fuzz-speed: build/asan/replay ## executions a second of one core under the sanitizers, over the last run's corpora
	@for c in results/fuzz/latest/raw/*-libfuzzer/corpus; do \
	    test -d $$c || { echo 'make fuzz-speed: no corpus yet: run make fuzz first' >&2; exit 2; }; \
	    t=$$(basename $$(dirname $$c) -libfuzzer); printf '%s: ' $$t; \
	    build/asan/replay -t $$t -s 5 $$c; done
.PHONY: fuzz replay shrink reproducer corpus-promote fuzz-speed

##@ The harness's tests
FUZZ_TEST_SRC := $(filter-out fuzz/tests/subject_%.c,$(sort $(wildcard fuzz/tests/*.c)))
define fuzz_test_rules
build/$(1)/fuzz-tests: $(FUZZ_TEST_SRC:%.c=build/$(1)/%.o) build/$(1)/ref/tests/runner.o build/$(1)/fuzz/programs/mutate_afl.o \
    $(filter-out build/$(1)/fuzz/runners/crash.o,$(FUZZ_CORE:%.c=build/$(1)/%.o)) \
    $$(call interleave_of,$(1)) $(call asked_of,$(1)) build/$(1)/libpagebox.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC.$(1)) $$(CFLAGS.$(1)) $$(LDFLAGS.$(1)) $(FUZZ_WRAP) $$^ $(FUZZ_LIBS) -o $$@
endef
$(foreach c,plain asan cov,$(eval $(call fuzz_test_rules,$(c))))

test-fuzz: build/subjects/template_mailbox.engine.so build/subjects/template_shared.engine.so $(foreach c,plain asan,build/$(c)/fuzz-tests build/$(c)/replay) build/plain/opgen build/plain/reproducer fuzz-build-libfuzzer ## tests of the harness; all seeds, plain and under the sanitizers
	@$(MAKE) -s --no-print-directory subjects
	@CC='$(CC)' fuzz/tests/run.sh
test-triage: $(addprefix build/plain/,replay shrink reproducer opgen) $(addprefix build/asan/,replay shrink reproducer) build/libfuzzer/memory_fuzzer lib ## planted defects become shrunk operations, traces and C programs
	$(start)CC='$(CC)' MAKE='$(MAKE)' fuzz/tests/triage.sh
.PHONY: test-fuzz test-triage
