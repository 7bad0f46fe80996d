#!/usr/bin/python3
"""reference.py: one page of reference for each public header, made from its comments, with the
example of that name.

    ref/reference.py            writes ref/reference/*.md
    ref/reference.py --check    1 when a page is not what would be written, or a name has no comment
    ref/reference.py --names    the functions and tables of the public headers, one a line

Exit status: 0; 1 see --check; 2 usage."""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
PAGES = HERE / "reference"
LINKAGE = re.compile(r'#ifdef __cplusplus\n(?:#pragma .*\n)*(?:extern "C" \{|\})\n(?:#pragma .*\n)*#endif\n')


def headers():
    """The public headers: what pagebox.h includes, and what those include."""
    found, asked = [], ["pagebox.h"]
    while asked:
        name = asked.pop()
        if name not in found:
            found.append(name)
            asked += re.findall(r'#include "(.*)"', (HERE / name).read_text())
    return sorted(name for name in found if name != "pagebox.h")


def names_of(text):
    """Functions and tables that a piece of a header declares, without what is for wasm32 alone."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"#ifdef __wasm__.*?#endif", "", text, flags=re.S)
    text = re.sub(r"\{[^{}]*\}", "", re.sub(r"\{[^{}]*\}", "", LINKAGE.sub("", text)))
    text = re.sub(r"static inline [^;]*?\)\s", "", text)
    functions = re.findall(r"\b(pb_\w+)\((?=[^;]*\);)", text)
    return functions + re.findall(r"extern const struct \w+ (pb_\w+)", text)


def text_of(comment):
    """What a comment says, as paragraphs."""
    lines = comment[2:-2].strip().split("\n")
    return "\n".join(re.sub(r"^ \* ?", "", line).rstrip() for line in lines)


def pieces(body):
    """(comment or None, declarations) pairs: a comment goes with what follows it up to a blank line."""
    for part in re.split(r"\n\n+", body.strip()):
        match = re.match(r"/\*.*?\*/", part, flags=re.S)
        if match and "----" in match.group(0):
            yield match.group(0), None
            part = part[match.end():].strip()
            match = re.match(r"/\*.*?\*/", part, flags=re.S)
        if not part:
            continue
        starts = [m.start() for m in re.finditer(r"^/\*", part, flags=re.M)] or [0]
        if starts[0] != 0:
            starts.insert(0, 0)
        for start, end in zip(starts, starts[1:] + [len(part)]):
            piece = part[start:end].strip()
            match = re.match(r"/\*.*?\*/", piece, flags=re.S)
            comment = match.group(0) if match else None
            yield comment, piece[match.end():].strip() if match else piece


def page(name):
    """The page of a header, and the names in it that no comment stands over."""
    text = (HERE / name).read_text()
    text = re.sub(r"/\* SPDX-.*?\*/\n", "", LINKAGE.sub("", text))
    intro = re.match(r"/\*.*?\*/", text, flags=re.S).group(0)
    title, _, rest = text_of(intro).partition(":")
    out = [f"# <pagebox/{title}>\n", rest.strip() + "\n"]
    body = re.sub(r"^#(ifndef|define) PB_\w+_H\n", "", text[len(intro):], flags=re.M)
    body = re.sub(r"^#include .*\n", "", body, flags=re.M)
    body = body[:body.rindex("#endif")]
    bare, above = [], None
    for comment, code in pieces(body):
        if code is None:
            out.append("## " + text_of(comment).strip("- ") + "\n")
            continue
        if not code:
            above = comment
            continue
        names = names_of(code)
        if comment is None and above is None:
            bare += names
        above = comment or above
        if comment:
            out.append(text_of(comment) + "\n")
        out.append("```c\n" + code + "\n```\n")
    example = PAGES / "examples" / (pathlib.Path(name).stem + ".c")
    out.append("## Example\n")
    out.append("```c\n" + example.read_text().strip() + "\n```\n")
    return "\n".join(out), bare


def main(arguments):
    if arguments == ["--names"]:
        for name in sorted({n for h in headers() for n in names_of((HERE / h).read_text())}):
            print(name)
        return 0
    if arguments not in ([], ["--check"]):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    wrong = 0
    for name in headers():
        text, bare = page(name)
        path = PAGES / (pathlib.Path(name).stem + ".md")
        for function in bare:
            print(f"{name}: {function} has no comment")
            wrong = 1
        if not arguments:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            print(f"{path.name} is not what {name} says: run ref/reference.py")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
