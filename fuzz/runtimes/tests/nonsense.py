#!/usr/bin/python3 -B
"""nonsense.py KIND MARK COMMAND...: a runtime that answers one program correctly and breaks the protocol in the next, once:
MARK is a file that it creates then. The kinds are the functions of KINDS."""
import os
import subprocess
import sys
import time


def say(text):
    os.write(1, text if isinstance(text, bytes) else text.encode())


def endless(_):
    while True:
        say("0 " * 32768)


def half_and_silent(answer):
    say(answer[: len(answer) // 2].decode())
    time.sleep(60)


def half_and_gone(answer):
    say(answer[: len(answer) // 2].decode())
    sys.exit(0)


def closed(_):
    os.close(1)
    time.sleep(60)


def twice(answer):
    say(answer + answer)


def unasked(answer):
    say(answer)
    time.sleep(0.2)
    say("by the way\n")


KINDS = {
    "words": lambda answer: say("Segments were flushed.\n"),
    "zeros": lambda answer: say(b"\0\xff\0\xfe" * 8 + b"\n"),
    "empty": lambda answer: say("\n"),
    "too-few": lambda answer: say(answer.rsplit(b" ", 1)[0] + b"\n"),
    "too-many": lambda answer: say(answer[:-1] + b" 0\n"),
    "unknown-status": lambda answer: say(b"99" + answer[answer.index(b" "):]),
    "negative": lambda answer: say(b"-" + answer),
    "too-wide": lambda answer: say(b"0:4294967296" + answer[answer.index(b" "):]),
    "few-bytes": lambda answer: say(answer[: answer.rindex(b" ")] + b" 0#00\n"),
    "bad-repetition": lambda answer: say(answer[:-1] + b" ! 9999 0 repetition 1\n"),
    "endless": endless,
    "twice": twice,
    "unasked": unasked,
    "half-and-silent": half_and_silent,
    "half-and-gone": half_and_gone,
    "closed": closed,
}


def main():
    kind, mark, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        for number, line in enumerate(sys.stdin.buffer):
            driver.stdin.write(line)
            driver.stdin.flush()
            answer = driver.stdout.readline()
            while b'"step":1' in line and not answer.endswith(b"\n.\n") and answer != b".\n":
                answer += driver.stdout.readline()
            if number == 2 and not os.path.exists(mark):  # after the hello and one program
                with open(mark, "w"):
                    KINDS[kind](answer)
            else:
                say(answer)


main()
