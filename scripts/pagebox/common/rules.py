"""rules.py: the sentence of each rule, from the one text where the rules are written."""
import functools
import re

from pagebox.common import report

TEXT = next((p for p in (report.REPO / "ref/RULES.md", report.REPO / "ref/README.md") if p.is_file()), None)


@functools.cache
def rules():
    """Number -> (name, sentence), from table rows, `| R33 capacity | full is ... |`, or from headings with a paragraph
    below, `## R33 capacity`."""
    text = TEXT.read_text(encoding="utf-8") if TEXT else ""
    rows = re.findall(r"^\| *\**R(\d+)[ .:]+([^|*]*?)\** *\| *([^|]+?) *\|", text, re.M)
    heads = re.findall(r"^#+ *R(\d+)[ .:]+(.*)\n+((?:[^#\n].*\n?)+)", text, re.M)
    return {int(n): (name.strip(), " ".join(says.split())) for n, name, says in [*heads, *rows]}


def sentence(oracle):
    """For a finding's name (R33-capacity): "R33 capacity: full is ...", or None if it names no rule."""
    number = re.match(r"R(\d+)", oracle)
    known = number and rules().get(int(number[1]))
    return f"R{number[1]} {known[0]}: {known[1]}" if known else None
