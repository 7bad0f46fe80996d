# rules.mk: tests, examples and installation of the reference.

##@ The reference's tests
REF_TEST_CONFIGS := plain asan tsan
REF_TEST_SRC := $(sort $(wildcard ref/tests/*.c))
# Calls of these go through the tests' own hands: the names stand once, in seam.c.
REF_SEAM := $(shell grep -oE 'SEAM.pb_os_[a-z_]+|__wrap_pb_os_[a-z_]+' ref/tests/seam.c | \
    sed 's/.*pb_os_/pb_os_/' | sort -u)
REF_SEAM_FLAGS := $(REF_SEAM:%=-Wl,--wrap=%)

define ref_test_rules
build/$(1)/ref-tests: $(REF_TEST_SRC:%.c=build/$(1)/%.o) build/$(1)/libpagebox.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC.$(1)) $$(CFLAGS.$(1)) $(REF_SEAM_FLAGS) $$^ -pthread -o $$@
build/$(1)/ref-example-%: build/$(1)/ref/examples/%.o build/$(1)/libpagebox.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC.$(1)) $$(CFLAGS.$(1)) $$^ -pthread -o $$@
endef
$(foreach c,$(CONFIGS),$(eval $(call ref_test_rules,$(c))))
.SECONDARY:
