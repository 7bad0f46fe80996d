# rules.mk: tests, examples and installation of the reference.

##@ The reference
REF_TEST_CONFIGS := plain asan tsan
REF_TEST_SRC := $(sort $(wildcard ref/tests/*.c))
REF_EXAMPLES := $(sort $(patsubst ref/examples/%.c,%,$(wildcard ref/examples/*.c)))
# Calls of these functions go through the tests' own hands; the names stand in seam.c alone.
REF_SEAM := $(shell grep -oE 'SEAM.pb_os_[a-z_]+|__wrap_pb_os_[a-z_]+' ref/tests/seam.c | \
    sed 's/.*pb_os_/pb_os_/' | sort -u)
# And of the C library's, which os_linux.c makes.
REF_LIBC := $(shell grep -oE '__wrap_[a-z_]+' ref/tests/libc.c | sed s/__wrap_// | sort -u)

# Headers that belong to a user: what pagebox.h includes, and those that they include.
REF_PUBLIC := pagebox.h $(shell sed -n 's/^.include "\(.*\)"/\1/p' ref/pagebox.h) mailbox_layout.h
# As users see them, <pagebox/memory.h>: for what is built in this tree as it would be outside.
build/include/pagebox/%.h: ref/%.h
	@mkdir -p $(@D)
	@cp $< $@
REF_STAGED := $(REF_PUBLIC:%=build/include/pagebox/%)
$(foreach c,$(CONFIGS),$(eval build/$(c)/ref/examples/%.o: CFLAGS.$(c) += -Ibuild/include))
$(foreach c,$(CONFIGS),$(REF_EXAMPLES:%=build/$(c)/ref/examples/%.o)): $(REF_STAGED)

define ref_test_rules
build/$(1)/ref-tests: $(REF_TEST_SRC:%.c=build/$(1)/%.o) build/$(1)/libpagebox.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC.$(1)) $$(CFLAGS.$(1)) $$(LDFLAGS.$(1)) $(patsubst %,-Wl$(comma)--wrap=%,$(REF_SEAM) $(REF_LIBC)) \
	    $$^ -pthread -o $$@
build/$(1)/ref-example-%: build/$(1)/ref/examples/%.o build/$(1)/libpagebox.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC.$(1)) $$(CFLAGS.$(1)) $$(LDFLAGS.$(1)) $$^ -pthread -o $$@
.PRECIOUS: build/$(1)/%.o
endef
$(foreach c,$(CONFIGS),$(eval $(call ref_test_rules,$(c))))

REF_TEST_BUILT := $(foreach c,$(REF_TEST_CONFIGS),build/$(c)/ref-tests \
    $(REF_EXAMPLES:%=build/$(c)/ref-example-%))
test-ref: $(REF_TEST_BUILT) ## tests of ref/: plain, as if host pages had 64 KiB, ASan+UBSan, thread sanitizer (FILTER=part of a name)
	$(start)MAKE='$(MAKE)' FILTER='$(FILTER)' ref/tests/run.sh $(REF_TEST_CONFIGS)
test-valgrind: build/plain/ref-tests ## the tests without threads under valgrind's memcheck: minutes (FILTER=part of a name)
	@FILTER='$(FILTER)' ref/tests/valgrind.sh
# The program of wasm2c, as the Debian package wabt makes it, without bounds checks: build/examples/.
build/examples/guest.c: ref/examples/wasm2c/guest.wat
	$(call say,WASM2C,$<)
	@mkdir -p $(@D)
	$(Q)$(call have,wat2wasm) $< -o $(@:.c=.wasm) && $(call have,wasm2c) -n guest $(@:.c=.wasm) -o $@
build/plain/ref-example-wasm2c: ref/examples/wasm2c/host.c build/examples/guest.c build/plain/libpagebox.a $(REF_STAGED)
	$(call say,LD,$@)
	$(Q)$(CC) -O2 -g -w -DWASM_RT_MEMCHECK_SIGNAL_HANDLER=1 -DWASM_RT_MEMCHECK_SIGNAL_HANDLER_POSIX=1 \
	    -c build/examples/guest.c -o build/examples/guest.o
	$(Q)$(CC) $(CSTD) $(WARN) -Wno-missing-prototypes $(CFLAGS.plain) -Ibuild/examples -Ibuild/include $< \
	    build/examples/guest.o build/plain/libpagebox.a -pthread -o $@
run-examples: $(REF_EXAMPLES:%=build/plain/ref-example-%) $(if $(shell command -v wasm2c),build/plain/ref-example-wasm2c) ## builds and runs ref/examples/; the one of wasm2c where wabt is there
	@for e in $^; do $$e || exit 1; done

# ---- Other machines and another C library -------------------------------------------------------
# The same tests, static, under qemu-user or on musl; what the emulator cannot do is left out by name in
# ref/tests/elsewhere.sh. QEMU_FLAGS: -p 65536 where qemu takes a page size.
CC.ref-arm64 = $(call have,aarch64-linux-gnu-gcc)
CC.ref-riscv64 = $(call have,riscv64-linux-gnu-gcc)
CC.ref-musl = $(call have,musl-gcc)
REF_ELSEWHERE := arm64 riscv64 musl
define ref_elsewhere_rules
CFLAGS.ref-$(1) := -O2 -g
LDFLAGS.ref-$(1) := -static
test-ref-$(1): build/ref-$(1)/ref-tests
	@FILTER='$$(FILTER)' QEMU_FLAGS='$$(QEMU_FLAGS)' ref/tests/elsewhere.sh $(1)
.PHONY: test-ref-$(1)
endef
$(foreach c,$(REF_ELSEWHERE),$(eval $(call config_rules,ref-$(c)))$(eval $(call ref_test_rules,ref-$(c))) \
    $(eval $(call ref_elsewhere_rules,$(c))))
test-ref-arm64: ## tests of ref/ under qemu-user, arm64 (FILTER=part of a name QEMU_FLAGS=)
test-ref-riscv64: ## the same, riscv64 (FILTER= QEMU_FLAGS=)
test-ref-musl: ## tests of ref/ with musl in place of glibc (FILTER=)
# Larger host pages, on this machine.
test-ref-16k: ## tests of ref/ as if host pages had 16 KiB (FILTER=)
test-ref-64k: ## the same, 64 KiB (FILTER=)
test-ref-16k test-ref-64k: test-ref-%: build/plain/ref-tests
	@FILTER='$(FILTER)' ref/tests/elsewhere.sh $*
.PHONY: test-ref-16k test-ref-64k
# Debian's musl-gcc has no headers of Linux beside musl's own.
build/ref-musl/linux-headers:
	@mkdir -p $@
	@ln -sfn /usr/include/linux $@/linux
	@ln -sfn /usr/include/$(shell uname -m)-linux-gnu/asm $@/asm
	@ln -sfn /usr/include/asm-generic $@/asm-generic
$(REF_SRC:%.c=build/ref-musl/%.o) $(REF_TEST_SRC:%.c=build/ref-musl/%.o): | build/ref-musl/linux-headers
CFLAGS.ref-musl += -idirafter build/ref-musl/linux-headers

##@ Installation
# What is installed shows the symbols of ref/pagebox.map and no others: the shared library by its
# version script, the archive as one object whose other symbols are local.
CC.shared = $(CC)
CFLAGS.shared := -O2 -g -fPIC
OBJCOPY ?= objcopy
$(eval $(call config_rules,shared))
REF_SONAME := libpagebox.so.$(firstword $(subst ., ,$(VERSION)))
build/shared/$(REF_SONAME): $(call ref_obj,shared) ref/pagebox.map
	$(call say,LD,$@)
	$(Q)$(CC.shared) -shared -Wl,-soname,$(REF_SONAME) -Wl,--version-script=ref/pagebox.map \
	    -Wl,--no-undefined $(filter %.o,$^) -pthread -o $@
build/installed/libpagebox.a: $(call ref_obj,plain) ref/pagebox.map
	$(call say,AR,$@)
	@mkdir -p $(@D)
	@sed -n 's/^ *\(pb_[a-z0-9_]*\);$$/\1/p' ref/pagebox.map > $(@D)/symbols
	$(Q)$(CC.plain) -nostdlib -r $(filter %.o,$^) -o $(@D)/pagebox.o && \
	    $(OBJCOPY) --keep-global-symbols=$(@D)/symbols $(@D)/pagebox.o && \
	    rm -f $@ && $(AR) rcs $@ $(@D)/pagebox.o
shared: build/shared/$(REF_SONAME) ## the shared library, build/shared/libpagebox.so.0

install_include = $(DESTDIR)$(PREFIX)/include/pagebox
install_lib = $(DESTDIR)$(PREFIX)/lib
install_cmake = $(install_lib)/cmake/Pagebox
build/pagebox.pc: ref/pagebox.pc.in Makefile FORCE
	@mkdir -p $(@D)
	@sed 's|@PREFIX@|$(subst $(space),\\ ,$(PREFIX))|; s|@VERSION@|$(VERSION)|' $< > $@
build/cmake/%.cmake: ref/cmake/%.cmake.in Makefile FORCE
	@mkdir -p $(@D)
	@sed 's|@VERSION@|$(VERSION)|; s|@SONAME@|$(REF_SONAME)|' $< > $@
REF_CMAKE := PageboxConfig.cmake PageboxConfigVersion.cmake
install: build/installed/libpagebox.a build/shared/$(REF_SONAME) build/pagebox.pc $(REF_CMAKE:%=build/cmake/%) ## PREFIX=/usr/local DESTDIR=: headers, libpagebox.a and .so, pagebox.pc, CMake package
	install -d '$(install_include)' '$(install_lib)/pkgconfig' '$(install_cmake)'
	install -m 644 $(REF_PUBLIC:%=ref/%) '$(install_include)'
	install -m 644 build/installed/libpagebox.a '$(install_lib)'
	install -m 755 build/shared/$(REF_SONAME) '$(install_lib)'
	ln -sf $(REF_SONAME) '$(install_lib)/libpagebox.so'
	install -m 644 build/pagebox.pc '$(install_lib)/pkgconfig'
	install -m 644 $(REF_CMAKE:%=build/cmake/%) '$(install_cmake)'
uninstall: ## removes what install put there (same PREFIX and DESTDIR)
	-cd '$(install_include)' 2>/dev/null && rm -f $(REF_PUBLIC)
	rm -f '$(install_lib)/libpagebox.a' '$(install_lib)/$(REF_SONAME)' '$(install_lib)/libpagebox.so' \
	    '$(install_lib)/pkgconfig/pagebox.pc'
	-cd '$(install_cmake)' 2>/dev/null && rm -f $(REF_CMAKE)
	-rmdir '$(install_cmake)' '$(install_include)' 2>/dev/null
FORCE:
.PHONY: test-ref test-valgrind run-examples install uninstall shared FORCE
