# rules.mk: builds the benchmark program, build/bench/bench, and runs it.

BENCH_OUT := build/bench
# Order tables of the mailbox: as chosen in ref/orders.h; all sequentially consistent (made from it);
# bench/orders_acqrel.h; bench/orders_upstream.h, whose rows are called orders:seed. One object each, all in one program.
BENCH_ORDERS := chosen sc acqrel seed
# Real programs, each built three times: native, and through wasm32 without and with bounds checks.
BENCH_PROGRAMS := $(patsubst bench/programs/%.c,%,$(sort $(filter-out %/glue.c,$(wildcard bench/programs/*.c))))
BENCH_CHECKS := guard compare
BENCH_WASM_MISSING := $(shell for tool in clang:clang wasm-ld:lld wasm2c:wabt; do \
    command -v $${tool%:*} >/dev/null || echo $$tool | cut -d: -f2; done; \
    test -f /usr/lib/wasm32-wasi/libc.a || echo wasi-libc; \
    test -n "$$(clang --target=wasm32-wasi -print-file-name=libclang_rt.builtins-wasm32.a 2>/dev/null | grep /)" || echo libclang-rt-14-dev-wasm32)
BENCH_FLAGS := $(CFLAGS.plain)
BENCH_CXXFLAGS := -std=c++17 -Wall -Wextra -Wconversion -Wshadow -Werror $(BENCH_FLAGS)
# BENCH_LIBRARY_ONLY=1: without the rows that need fuzz/, which does not build against an older ref/.
BENCH_C := $(filter-out bench/mailbox.c bench/sites.c bench/orders_check.c \
    $(if $(BENCH_LIBRARY_ONLY),bench/fuzz_cost.c bench/subject.c),$(sort $(wildcard bench/*.c bench/peers/*.c)))
# main.c first: its sections of the report come first.
BENCH_OBJ := $(BENCH_OUT)/main.o $(patsubst bench/%.c,$(BENCH_OUT)/%.o,$(filter-out bench/main.c,$(BENCH_C))) $(BENCH_OUT)/shim.o \
    $(BENCH_ORDERS:%=$(BENCH_OUT)/mailbox_%.o)
# Sites of the order table that are weaker than sequentially consistent, and none: bench/sites.c.
BENCH_SITES := none $(shell sed -n \
    '/seq_cst/! s/^.define PB_ORDER_\([A-Z_]*\) memory_order_.*/\1/p' ref/orders.h)
BENCH_OBJ += $(BENCH_SITES:%=$(BENCH_OUT)/site_%.o)
BENCH_OBJ += $(foreach p,$(BENCH_PROGRAMS),$(BENCH_OUT)/programs/$(p)_native.o) \
    $(foreach p,$(BENCH_PROGRAMS),$(foreach c,$(BENCH_CHECKS),$(BENCH_OUT)/programs/$(p)$(c)_glue.o)) \
    $(if $(BENCH_WASM_MISSING),,$(foreach p,$(BENCH_PROGRAMS),$(foreach c,$(BENCH_CHECKS),$(BENCH_OUT)/programs/$(p)$(c).o)))
# wabt's runtime for wasm2c, if its package is installed: a peer, and the runtime of real programs.
BENCH_WABT := $(wildcard $(shell $(CC) -print-file-name=libwasm-rt-impl.a))
BENCH_DEFINES := -DBENCH_FLAGS='"$(CFLAGS.plain)"' -DBENCH_V8='"$(CURDIR)/bench/v8.js"' \
    -DBENCH_V8_BASE='"$(CURDIR)/bench/v8"' \
    -DBENCH_CORPUS='"$(CURDIR)/corpus/memory_fuzzer"' \
    $(if $(BENCH_WABT),-DBENCH_WABT)
# What subject.c needs of fuzz/: the loader, and the reference behind the same tables.
BENCH_SUBJECT_OBJ := $(if $(BENCH_LIBRARY_ONLY),,$(addprefix build/plain/fuzz/,runners/subject.o judges/rule.o reference/subject_ref.o reference/os_none.o))
# Function names in an older ref/: renamed.txt.
BENCH_FLAGS += $(shell grep '^pb_' bench/renamed.txt | while read -r new old; do \
    grep -qw "$$new" ref/*.h || echo "-D$$new=$$old"; done)
# Features of ref/ that an older one does not have.
$(BENCH_OUT)/memories.o: BENCH_FLAGS += $(shell grep -q keep_resident_bytes ref/*.h && echo -DREF_KEEPS_POOL_BYTES) \
    $(shell grep -q PB_POOL_SCAN ref/*.h && echo -DREF_SCANS_POOLS) \
    $(shell grep -q keep_resident_bytes ref/memory.h && echo -DREF_KEEPS_IMAGE_BYTES)
$(BENCH_SITES:%=$(BENCH_OUT)/site_%.o): BENCH_FLAGS += $(shell grep -q pb_canceller ref/waiters.h && echo -DREF_CANCELS_WAITS)
# All of fuzz/ and a copy of ref/ in one object with local names, whose calls for pages and files go
# through fuzz_cost.c (fuzz/core.h).
BENCH_FUZZ_CALLS := mmap munmap mprotect madvise mremap memfd_create ftruncate pwrite fcntl open pread close
$(BENCH_OUT)/fuzz/core.o $(BENCH_OUT)/subject.o: BENCH_FLAGS += -Ifuzz $(FUZZ_FOLDERS:%=-Ifuzz/%)
$(BENCH_OUT)/fuzz_core.o: $(BENCH_OUT)/fuzz/core.o $(filter-out build/plain/fuzz/runners/crash.o,$(FUZZ_CORE:%.c=build/plain/%.o)) \
    $(call ref_obj,plain) build/sim/interleave.o
	$(call say,LD,$@)
	$(Q)ld -r $(FUZZ_WRAPPED:%=--wrap=%) $(FUZZ_WRAPPED_C:%=--wrap=%) $^ -o $@ && \
	    objcopy --wildcard --keep-global-symbol='fuzz_core_*' $(foreach f,$(BENCH_FUZZ_CALLS),--redefine-sym $(f)=fuzz_cost_$(f)) $@
BENCH_OBJ += $(if $(BENCH_LIBRARY_ONLY),,$(BENCH_OUT)/fuzz_core.o)
BENCH_JEMALLOC = $(shell $(CC) -print-file-name=libjemalloc_pic.a)

##@ Benchmarks
bench: $(BENCH_OUT)/bench $(SUBJECT_WANTED) ## benchmarks and their report in results/bench/: FILTER=regex QUICK=1 SUBJECT=
	@$(if $(QUICK)$(FILTER),,scripts/barriers.py --if-changed && scripts/bench_compare.py --build-tuned)
	@scripts/bench.py $(if $(QUICK),--quick) $(if $(FILTER),--filter='$(FILTER)')
bench-contended: $(BENCH_OUT)/bench ## the mailbox alone and with 1 to 8 producers, beside rings with the same guarantees, a lock, and other queues
	@scripts/bench.py --filter='^(mailbox/(enqueue|contend)/orders:chosen|peer/(enqueue|contend)|bound/(lock|fetch_add))/.*(threads:[1248]|fill:low)$$'
test-bench: $(BENCH_OUT)/bench $(BENCH_OUT)/tests/shim_test build/subjects/template.so build/subjects/template_mailbox.so ## tests of the benchmark program and its report
	@$(call pytest,bench/tests)
bench-compare: ## A=run B=run (of results/bench): two reports; BEFORE=revision [AFTER=revision] FILTER=: of ref/
	@scripts/bench_compare.py $(if $(BEFORE),--revisions '$(BEFORE)' '$(or $(AFTER),worktree)' \
	    $(if $(FILTER),--filter='$(FILTER)'),'$(A)' '$(B)')
barriers: ## what the memory orders compile to on x86-64, arm64, riscv64: instruction and byte counts (JOBS=)
	@scripts/barriers.py $(if $(JOBS),--jobs=$(JOBS))
.PHONY: bench bench-contended bench-compare test-bench barriers

# DPDK's ring, if libdpdk-dev is installed: its headers need another C standard and processor.
BENCH_DPDK := $(shell pkg-config --exists libdpdk 2>/dev/null && echo yes)
ifdef BENCH_DPDK
$(BENCH_OUT)/peers/dpdk.o $(BENCH_OUT)/peers/dpdk_signal.o: BENCH_FLAGS += -std=gnu11 -march=corei7 -DPEER_DPDK -DALLOW_INTERNAL_API \
    $(filter -I%,$(shell pkg-config --cflags libdpdk))
BENCH_LIBS := -lrte_ring -lrte_eal
endif

$(BENCH_OUT)/bench: $(BENCH_OBJ) $(BENCH_SUBJECT_OBJ) $(BENCH_OUT)/libjemalloc.a build/plain/libpagebox.a build/plain/libsim.a $(BENCH_WABT)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(BENCH_FLAGS) $^ -lbenchmark $(BENCH_LIBS) -lpthread -ldl -lm -o $@

$(BENCH_OUT)/tests/shim_test: $(BENCH_OUT)/tests/shim_test.o $(BENCH_OUT)/shim.o
	$(call say,LINK,$@)
	$(Q)$(CXX) $(BENCH_FLAGS) $^ -lbenchmark -lpthread -o $@

$(BENCH_OUT)/%.o: bench/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) $(WARN) $(BENCH_FLAGS) $(BENCH_DEFINES) -Iref -Ibench -MMD -MP -c $< -o $@

$(BENCH_OUT)/%.o: bench/%.cc
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	@$(CXX) -E -include benchmark/benchmark.h -x c++ /dev/null >/dev/null 2>&1 || { \
	    echo "make: Google Benchmark is missing: run scripts/setup" >&2; exit 2; }
	$(Q)$(CXX) $(BENCH_CXXFLAGS) -MMD -MP -c $< -o $@

# Programs. wasm2c's output is compiled without our warnings; its three memory functions are replaced by
# ours (wasm_rt_adapter.c). A program's source has one function, run, which is renamed in the native build.
BENCH_ADAPTER := $(foreach f,allocate grow free,-Dwasm_rt_$(f)_memory=program_$(f)_memory)
BENCH_CHECK.guard :=
BENCH_CHECK.compare := -DWASM_RT_MEMCHECK_SIGNAL_HANDLER=0 -DWASM_RT_USE_STACK_DEPTH_COUNT=0
BENCH_MEMORY_MAX := 67108864

$(BENCH_OUT)/programs/%_native.o: bench/programs/%.c
	$(call say,CC,$< (native))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) $(WARN) $(BENCH_FLAGS) -Drun=native_$* -Ibench/programs -MMD -MP -c $< -o $@
$(BENCH_OUT)/programs/%.wasm: bench/programs/%.c bench/programs/program.h
	$(call say,WASM,$<)
	@mkdir -p $(@D)
	$(Q)clang --target=wasm32-wasi -std=c11 $(WARN) -O2 -nostartfiles -Wl,--no-entry,--export=run \
	    -Wl,--max-memory=$(BENCH_MEMORY_MAX),--strip-all -Ibench/programs $< -o $@

define bench_program_rules
$(BENCH_OUT)/programs/$(1)$(2).c: $(BENCH_OUT)/programs/$(1).wasm
	$$(call say,WASM2C,$$@)
	$$(Q)wasm2c -n $(1)$(2) $$< -o $$@
$(BENCH_OUT)/programs/$(1)$(2).o: $(BENCH_OUT)/programs/$(1)$(2).c
	$$(call say,CC,$$<)
	$$(Q)$$(CC) -std=gnu11 -w $$(BENCH_FLAGS) $$(BENCH_ADAPTER) $$(BENCH_CHECK.$(2)) -c $$< -o $$@
$(BENCH_OUT)/programs/$(1)$(2)_glue.o: bench/programs/glue.c \
    $(if $(BENCH_WASM_MISSING),,$(BENCH_OUT)/programs/$(1)$(2).c)
	$$(call say,CC,$$< ($(1) $(2)))
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CSTD) $$(WARN) $$(BENCH_FLAGS) $$(BENCH_ADAPTER) $$(BENCH_CHECK.$(2)) \
	    -DPROGRAM=$(1) -DCHECK=$(2) $(if $(BENCH_WASM_MISSING), \
	    -DMISSING='"packages are missing (scripts/setup bench): $(BENCH_WASM_MISSING)"', \
	    -DMODULE=$(1)$(2) -DHEADER='"$(1)$(2).h"') \
	    -Ibench -I$(BENCH_OUT)/programs -MMD -MP -c $$< -o $$@
endef
$(foreach p,$(BENCH_PROGRAMS),$(foreach c,$(BENCH_CHECKS),$(eval $(call bench_program_rules,$(p),$(c)))))
.SECONDARY: $(BENCH_PROGRAMS:%=$(BENCH_OUT)/programs/%.wasm)

# bench/mailbox.c with the whole library under one order table, as one object that exports no symbol:
# it registers itself when the program is loaded.
define bench_orders_rules
$(BENCH_OUT)/$(1)/%.o: %.c $(BENCH_OUT)/orders_sc.h
	$$(call say,CC,$$< ($(1)))
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CSTD) $$(WARN) $$(BENCH_FLAGS) -DBENCH_ORDERS='"$(1)"' \
	    $(if $(filter-out chosen,$(1)),-DPB_ORDERS_TABLE='"orders_$(1:seed=upstream).h"') \
	    -Iref -Ibench -I$(BENCH_OUT) -MMD -MP -c $$< -o $$@
$(BENCH_OUT)/mailbox_$(1).o: $(BENCH_OUT)/$(1)/bench/mailbox.o \
    $(REF_SRC:%.c=$(if $(filter chosen,$(1)),build/plain,$(BENCH_OUT)/$(1))/%.o)
	$$(call say,LD,$$@)
	$$(Q)ld -r -o $$@ $$^ && objcopy --keep-global-symbol=none $$@
endef
$(foreach table,$(BENCH_ORDERS),$(eval $(call bench_orders_rules,$(table))))

$(BENCH_OUT)/orders_sc.h: ref/orders.h
	@mkdir -p $(@D)
	@{ echo '/* orders_sc.h: ref/orders.h with every site sequentially consistent; generated. */'; \
	  sed -n 's/^\(#define PB_ORDER_[A-Z_]*\) .*/\1 memory_order_seq_cst/p' $<; } > $@

# bench/sites.c and the files with sites, with one site sequentially consistent, likewise as one object.
BENCH_SITE_SRC := bench/sites.c ref/mailbox.c ref/guest.c ref/lock.c ref/waiters.c
$(BENCH_OUT)/orders_site_%.h: ref/orders.h
	@mkdir -p $(@D)
	@{ echo '/* $(@F): ref/orders.h with one site sequentially consistent; generated. */'; \
	  printf '#undef PB_ORDERS_H\n#undef PB_ORDERS_TABLE\n#include "orders.h"\n'; \
	  [ $* = none ] || printf '#undef PB_ORDER_%s\n#define PB_ORDER_%s memory_order_seq_cst\n' \
	      $* $*; } > $@
$(BENCH_OUT)/site_%.o: $(BENCH_OUT)/orders_site_%.h $(BENCH_SITE_SRC) bench/shim.h $(wildcard ref/*.h)
	$(call say,CC,bench/sites.c ($*))
	@mkdir -p $(@D)/sites/$*
	$(Q)for c in $(BENCH_SITE_SRC); do \
	    $(CC) $(CSTD) $(WARN) $(BENCH_FLAGS) -DBENCH_SITE='"$*"' \
	        -DPB_ORDERS_TABLE='"orders_site_$*.h"' -Iref -Ibench -I$(BENCH_OUT) \
	        -c $$c -o $(@D)/sites/$*/$$(basename $$c .c).o || exit 1; \
	done
	$(Q)ld -r -o $@ $(@D)/sites/$*/*.o && objcopy --keep-global-symbol=none $@
.PRECIOUS: $(BENCH_OUT)/orders_site_%.h

# jemalloc under other names (jemalloc_malloc ...), without its C++ part: malloc stays glibc's.
$(BENCH_OUT)/libjemalloc.a:
	$(call say,OBJCOPY,$@)
	@mkdir -p $(@D)
	@test -f '$(BENCH_JEMALLOC)' || { \
	    echo "make: libjemalloc-dev is missing: run scripts/setup" >&2; exit 2; }
	$(Q)cp '$(BENCH_JEMALLOC)' $@.tmp && ar d $@.tmp jemalloc_cpp.pic.o jemalloc_cpp.o
	$(Q)nm -g --defined-only $@.tmp | awk 'NF == 3 && $$3 !~ /^je_/ { print $$3, "jemalloc_" $$3 }' \
	    | sort -u > $@.names
	$(Q)objcopy --redefine-syms=$@.names $@.tmp && mv $@.tmp $@
