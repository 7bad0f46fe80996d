"""Parses litmus programs and prints them again: for shrinking and for translation to C.

A program is a Program: header lines, one list of statements a thread. A statement is a string, or
a Block: head ("if r0 = 1", "repeat 3"), body, other (the statements of else, or None)."""
import dataclasses
import re


@dataclasses.dataclass
class Block:
    head: str
    body: list
    other: list | None = None


@dataclasses.dataclass
class Program:
    name: str
    header: list  # init, exists and similar lines, unchanged
    threads: list


def _tokens(text):
    return re.findall(r"[{};\n]|[^{};\n]+", text)


def _statements(tokens, at):
    """Parses statements from tokens[at] to the closing brace or the end; returns them and the next position."""
    out = []
    while at < len(tokens) and tokens[at] != "}":
        token = tokens[at].strip()
        at += 1
        if token in ("", ";"):
            continue
        if at < len(tokens) and tokens[at] == "{":
            body, at = _statements(tokens, at + 1)
            at += 1
            if token == "else":
                out[-1].other = body
            else:
                out.append(Block(token, body))
        else:
            out.append(token)
    return out, at


def split(text):
    """The texts of the programs in a file."""
    return [t for t in re.split(r"^---.*\n", text, flags=re.M) if t.strip()]


def parse(text):
    text = re.sub(r"#.*", "", text)
    lines, depth = [""], 0
    for piece in re.findall(r"\n|[{}]|[^{}\n]+", text):  # inside braces, a line end is a separator
        if piece == "\n" and depth == 0:
            lines.append("")
            continue
        depth += (piece == "{") - (piece == "}")
        lines[-1] += piece
    program = Program("", [], [])
    for line in lines:
        thread = re.match(r"\s*T(\d+)\s*:(.*)", line, flags=re.S)
        if thread and "exists" not in line.split(":")[0]:
            n = int(thread[1])
            while len(program.threads) <= n:
                program.threads.append([])
            program.threads[n] += _statements(_tokens(thread[2]), 0)[0]
        elif line.strip().startswith("name "):
            program.name = line.strip()[5:].strip()
        elif line.strip():
            program.header.append(line.strip())
    return program


def text_of(statements):
    out = []
    for s in statements:
        if isinstance(s, str):
            out.append(s)
            continue
        t = f"{s.head} {{ {text_of(s.body)} }}"
        if s.other is not None:
            t += f" else {{ {text_of(s.other)} }}"
        out.append(t)
    return " ; ".join(out)


def print_program(program, name=None):
    init = [h for h in program.header if h.startswith("init")]
    rest = [h for h in program.header if not h.startswith("init")]
    threads = [f"T{i}: {text_of(t)}" for i, t in enumerate(program.threads)]
    return "\n".join([f"name {name or program.name}", *init, *threads, *rest]) + "\n"


def _smaller_lists(statements):
    for i, s in enumerate(statements):
        before, after = statements[:i], statements[i + 1:]
        yield before + after
        if isinstance(s, str):
            for order in (" sc", " ar", " acq", " rel"):
                if s.endswith(order) and not s.startswith("fence"):
                    yield before + [s[: -len(order)] + " rlx"] + after
            continue
        yield before + s.body + after
        if s.other is not None:
            yield before + s.other + after
            yield before + [Block(s.head, s.body)] + after
        for body in _smaller_lists(s.body):
            yield before + [Block(s.head, body, s.other)] + after
        for other in _smaller_lists(s.other or []):
            yield before + [Block(s.head, s.body, other)] + after


def smaller(program):
    """Smaller programs, the largest cuts first. Some may be invalid."""
    header = [h for h in program.header if not h.startswith(("graphs", "blocked", "expect", "exists"))]
    for i in range(len(program.threads)):
        if len(program.threads) > 1:
            yield Program(program.name, header, program.threads[:i] + program.threads[i + 1:])
    for i, t in enumerate(program.threads):
        for less in _smaller_lists(t):
            yield Program(program.name, header, program.threads[:i] + [less] + program.threads[i + 1:])
    for i in range(len(header)):
        yield Program(program.name, header[:i] + header[i + 1:], program.threads)
