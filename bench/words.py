"""Names and lists as users write them: on the command line, in sweep files, in recipes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=str)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ " (did you mean 'dense'?)", to follow the word that is unknown; nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def one_of(option: str, name: str, known: Sequence[Name], error: type[ValueError]) -> Name:
    """The known name that ``name`` is; ``error`` with those that there are, if it is none."""
    for one in known:
        if name == one:
            return one
    raise error(f"{option} {name!r} is unknown{did_you_mean(name, known)}; allowed are {', '.join(known)}")


def split_outside(text: str) -> list[str]:
    """The parts between the commas that stand outside parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def visible(text: str) -> str:
    """``text`` on one line: what can not be printed (line breaks, control characters, halves of surrogate pairs as in
    names of files that are not UTF-8) stands as its escape."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
