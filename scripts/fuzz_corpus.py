#!/usr/bin/python3 -B
"""fuzz_corpus.py: `make corpus-promote`. The program is pagebox/fuzz/corpora.py."""
from pagebox import command

command.run("pagebox.fuzz.corpora")
