#!/usr/bin/python3 -B
"""defects_subject.py: `make defects SUBJECT_SRC=`. The program is pagebox/defects/subject.py."""
from pagebox import command

command.run("pagebox.defects.subject")
