# gate.mk: the gate: is the work tree worse than another revision?

GATE := CC='$(CC)' MAKE='$(MAKE)' GATE_CFLAGS='$(CSTD) $(CFLAGS.plain)' scripts/gate.py

##@ The gate
gate: ## is ref/, or SUBJECT_SRC=folder of yours, worse than at BASE=revision? (BEHAVIOUR=0 TIMED=0 TIME=seconds ROUNDS=20 FILTER= HISTORY=file)
	$(start)$(GATE) run --base '$(BASE)' $(if $(SUBJECT_SRC),--subject-src $(call quote,$(SUBJECT_SRC))) $(if $(BEHAVIOUR),--behaviour '$(BEHAVIOUR)') \
	    $(if $(TIMED),--timed '$(TIMED)') $(if $(TIME),--time '$(TIME)') \
	    $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(FILTER),--filter '$(FILTER)') \
	    $(if $(HISTORY),--history '$(HISTORY)')
gate-calibrate: ## how often the gate is wrong on this machine; continues where it stopped (SESSIONS=100 INJECTED=8 TIME=seconds ROUNDS=20 FILTER= SCORE=1: report only)
	$(start)$(GATE) calibrate $(if $(SESSIONS),--sessions '$(SESSIONS)') $(if $(ROUNDS),--rounds '$(ROUNDS)') \
	    $(if $(INJECTED),--injected '$(INJECTED)') $(if $(TIME),--time '$(TIME)') \
	    $(if $(FILTER),--filter '$(FILTER)') $(if $(SCORE),--score)
gate-selftest: ## planted regressions must block, harmless changes must not (QUICK=1: by counts only; ONLY=regex)
	$(start)$(GATE) selftest $(if $(QUICK),--fast) $(if $(ONLY),--only '$(ONLY)')
test-gate: ## the gate's planted patches apply; the fast self-test; counts against HEAD^
	@bad=0; for part in check 'selftest --fast' previous; do $(if $(dry),echo) $(GATE) $$part || bad=1; done; exit $$bad
trend: ## the gate's figures over the commits, with change points (HISTORY=file)
	$(start)$(GATE) trend $(if $(HISTORY),--history '$(HISTORY)')
.PHONY: gate gate-calibrate gate-selftest test-gate trend
