# oss-fuzz.mk: the fuzz targets by the contract of OSS-Fuzz and ClusterFuzzLite, for .clusterfuzzlite/build.sh
# alone: compiler, flags and engine are the service's (OSS_*), the targets go to OUT.
ifdef OSS_CC
CC.oss-fuzz = $(OSS_CC)
CFLAGS.oss-fuzz = $(OSS_CFLAGS)
$(eval $(call config_rules,oss-fuzz))

# The programs that interleave bring the engine's own coverage and have no sanitizer: no object may have
# two. In the builds that tell what is covered they count, too.
OSS_INTERLEAVE = build/sim$(if $(filter coverage,$(OSS_SANITIZER)),-cov)/interleave.o build/plain/libsim.a

$(FUZZ_TARGETS:%=$(OUT)/%): $(OUT)/%: build/oss-fuzz/fuzz/targets/%.o build/oss-fuzz/fuzz/targets/target.o \
    $(FUZZ_CORE:%.c=build/oss-fuzz/%.o) $(OSS_INTERLEAVE) build/oss-fuzz/libpagebox.a
	$(call say,LD,$@)
	$(Q)$(OSS_CXX) $(OSS_CXXFLAGS) $(FUZZ_WRAP) $^ $(OSS_ENGINE) $(FUZZ_LIBS) -o $@
oss-fuzz-targets: $(FUZZ_TARGETS:%=$(OUT)/%)
endif

oss-fuzz-check: ## .clusterfuzzlite/build.sh under the service's contract, and the service's own checks (CLANG=clang-19 BUILDS=address-libfuzzer)
	@CLANG='$(CLANG)' fuzz/tests/oss-fuzz.sh
.PHONY: oss-fuzz-check
