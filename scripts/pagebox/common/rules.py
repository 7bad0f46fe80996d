"""rules.py: what each rule says, in a sentence, from the one text where the rules stand."""
import functools
import re

from pagebox.common import report

TEXT = next((p for p in (report.REPO / "ref/RULES.md", report.REPO / "ref/README.md") if p.is_file()), None)


@functools.cache
def rules():
    """Number -> (name, sentence): rows of a table, `| R33 capacity | full is ... |`, or headings with a
    paragraph below, `## R33 capacity`."""
    text = TEXT.read_text(encoding="utf-8") if TEXT else ""
    rows = re.findall(r"^\| *\**R(\d+)[ .:]+([^|*]*?)\** *\| *([^|]+?) *\|", text, re.M)
    heads = re.findall(r"^#+ *R(\d+)[ .:]+(.*)\n+((?:[^#\n].*\n?)+)", text, re.M)
    return {int(n): (name.strip(), " ".join(says.split())) for n, name, says in [*heads, *rows]}


def sentence(oracle):
    """Of a finding's name (R33-capacity): "R33 capacity: full is ...", or None where it names no rule."""
    number = re.match(r"R(\d+)", oracle)
    known = number and rules().get(int(number[1]))
    return f"R{number[1]} {known[0]}: {known[1]}" if known else None
