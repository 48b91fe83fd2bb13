"""A coding agent for tests: it does what a prompt says in words that a program can read, or makes a strategy.

    agent.py do [PROMPT]     carry out a prompt; without one it is on standard input
    agent.py plan KEPT       copy the document on standard input to KEPT and print a strategy

Lines of a prompt that it understands:

    append FILE TEXT         a line at the end of FILE
    replace FILE OLD NEW     one word for another
    keep FILE                the whole prompt, as it arrived
    wait PIPE                say so in PIPE.arrived, then read PIPE to its end
    need TEXT                end with 3 unless TEXT is somewhere else in the prompt too
    ask TEXT                 end with 4 unless people said TEXT as guidance
    follow FILE              the lines of FILE as if they were in the prompt here
    fail CODE                end with CODE
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def do(prompt: str) -> int:
    for line in lines_of(prompt):
        verb, _, rest = line.partition(" ")
        words = rest.split(" ", 1 if verb == "append" else -1)
        match verb, words:
            case "append", [file, text]:
                with Path(file).open("a", encoding="utf-8") as stream:
                    stream.write(f"{text}\n")
            case "replace", [file, old, new]:
                Path(file).write_text(Path(file).read_text("utf-8").replace(old, new), "utf-8")
            case "keep", [file]:
                Path(file).write_text(prompt, "utf-8")
            case "wait", [pipe]:
                sys.stdout.write("waiting\n")
                Path(f"{pipe}.arrived").touch()
                Path(pipe).read_bytes()
            case "need", _ if prompt.count(rest) == 1:
                sys.stderr.write(f"nobody told me {rest}\n")
                return 3
            case "ask", _ if rest not in prompt.partition("## Guidance")[2]:
                sys.stderr.write("what is the word?\n")
                return 4
            case "fail", [code]:
                sys.stdout.write("this is too hard\n")
                return int(code)
            case _:
                pass
    return 0


def lines_of(prompt: str) -> Iterator[str]:
    for line in prompt.splitlines():
        if line.startswith("follow "):
            yield from Path(line.removeprefix("follow ")).read_text("utf-8").splitlines()
        else:
            yield line


def plan(document: dict[str, Any]) -> dict[str, Any]:
    told = [*document["guidance"], *(error["message"] for error in document["errors"])]
    return {
        "decisions": [
            {"question": "How?", "choice": "in one step more", "reason": "it is enough"},
            *({"question": "What was I told?", "choice": text, "reason": "it was in the document"} for text in told),
        ],
        "steps": [*document["steps"], {"id": "added", "run": "echo added >> added"}],
    }


def main() -> int:
    if sys.argv[1] == "do":
        return do(sys.argv[2] if len(sys.argv) > 2 else sys.stdin.read())
    text = sys.stdin.read()
    Path(sys.argv[2]).write_text(text, "utf-8")
    Path("scratch").write_text("written while planning", "utf-8")
    json.dump(plan(json.loads(text)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
