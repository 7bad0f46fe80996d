# rules.mk: the scoreboard of known defects.

##@ Known defects
DEFECTS_OPTIONS = $(if $(DEFECTS),--defects '$(DEFECTS)') $(if $(ONLY),--only '$(ONLY)') \
    $(if $(TARGET),--target '$(TARGET)') $(if $(TIME),--time '$(TIME)') \
    $(if $(SEEDS),--seeds '$(SEEDS)') $(if $(SEED),--seed '$(SEED)') $(if $(JOBS),--jobs '$(JOBS)') \
    $(if $(ENGINE),--engine '$(ENGINE)') $(if $(SCHED),--sched '$(SCHED)') $(if $(EMPTY),--empty) \
    $(if $(QUICK),--quick) $(if $(filter 0 no,$(WITNESS)),--no-witness)
# What the scoreboard of your own code would ignore.
DEFECTS_UNUSED = $(strip $(foreach v,SUBJECT TARGET SEEDS JOBS ENGINE EMPTY SCHED WITNESS,$(if $($(v)),$(v)=)))
defects: ## plants each known defect and fuzzes: DEFECTS= ONLY=regex TARGET= TIME= SEED= SEEDS= JOBS= ENGINE= SCHED=bytes,pct|all EMPTY=1 QUICK=1 WITNESS=no; yours into your code: SUBJECT_SRC= (not SUBJECT=) RULES_OFF=
	@test -z '$(SUBJECT_SRC)' -o -z '$(DEFECTS_UNUSED)' || { echo 'make defects: SUBJECT_SRC= takes DEFECTS=' \
	    'TIME= SEED= ONLY= QUICK=1 RULES_OFF=, not $(DEFECTS_UNUSED)' >&2; exit 2; }
	@$(if $(SUBJECT_SRC),scripts/defects_subject.py --sources '$(SUBJECT_SRC)' \
	    --defects '$(or $(DEFECTS),$(SUBJECT_SRC)/defects)' $(if $(TIME),--time '$(TIME)') \
	    $(if $(SEED),--seed '$(SEED)') $(if $(ONLY),--only '$(ONLY)') $(if $(QUICK),--quick),scripts/defects.py run $(DEFECTS_OPTIONS))
test-defects: ## each defect patch applies to today's ref/ and compiles (DEFECTS=a patch or folder of yours)
	@scripts/defects.py check $(if $(DEFECTS),--defects '$(DEFECTS)')
test-scoreboard: ## one defect of each rule is caught, the canaries are not: minutes (JOBS=)
	@scripts/defects.py run --quick --root build/test-scoreboard $(if $(JOBS),--jobs '$(JOBS)')
.PHONY: defects test-defects test-scoreboard
