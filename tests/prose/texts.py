"""Reads the texts of a file: Markdown, YAML, source code, comments, or the help of the terminal program."""

import re
import subprocess
from dataclasses import dataclass, field

# What a masked character becomes: neither a letter nor a space.
MASK = "·"
# Code spans, link targets, addresses, paths, identifiers and placeholders.
NAMES = re.compile(
    r"`[^`]*`|(?<=\])\([^)\s]+\)|https?://\S+|\$?\{[^{}\s]*\}"
    r"|[\w.-]*[/_][\w./*-]*|\w+::\S+|\b\w*[a-z][A-Z]\w*"
)


@dataclass
class Text:
    """A paragraph, a table row, a comment or a string, with single spaces; and the line of each character."""

    path: str
    value: str = ""
    lines: list[int] = field(default_factory=list)

    def add(self, number, text):
        for word in text.split():
            if self.value:
                self.value += " "
                self.lines.append(number)
            self.value += word
            self.lines += [number] * len(word)
        return self

    def masked(self):
        return NAMES.sub(lambda match: MASK * len(match[0]), self.value)


def grouped(path, numbered):
    """Consecutive lines, each group as one text; `None` ends a group."""
    texts, text = [], Text(path)
    for number, line in numbered:
        if line is None:
            texts.append(text)
            text = Text(path)
        else:
            text.add(number, line)
    return [text for text in [*texts, text] if text.value]


# Rows that repeat, word for word, what the template says, which is checked itself.
COPIED = re.compile(r"\| (?:checkov|cfn-guard|cdk-nag) \|")
# A line that stands alone: a heading, a table row, a comment, a picture, the kind of an alert, or nothing.
ALONE = re.compile(r"#|\||<!--|\[?!\[|\[!|$")
# What marks a line as quoted.
QUOTED = re.compile(r"> ?")
ITEM = re.compile(r"(?:[*-]|\d+\.) ")
# A full stop inside a line, and what begins the next sentence.
NEXT_SENTENCE = re.compile(rf"(?<!e\.g)(?<!i\.e)(?<!vs)[.?!][)\"*]* +(?=[A-Z\"(*\[{MASK}])")
LONGEST_LINE = 400


def markdown_lines(text):
    """The lines of prose, each with its number and kind; of code, the comments of shell examples only."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        line = QUOTED.sub("", line, count=1) if line.startswith(">") else line
        stripped = line.strip()
        if stripped.startswith("```"):
            fence = None if fence is not None else stripped[3:]
            yield number, "", "alone"
        elif fence is not None:
            comment = re.search(r"(?:^|\s)#\s(.*)", line) if fence == "sh" else None
            yield number, comment[1] if comment else "", "alone"
        elif COPIED.match(line):
            yield number, "", "alone"
        elif ALONE.match(stripped) or re.match(r" {4}(?!\S*[*-] )", line):
            yield number, stripped, "alone"
        elif ITEM.match(stripped):
            yield number, stripped, "item"
        else:
            yield number, stripped, "paragraph"


def markdown(path, text):
    numbered = []
    for number, line, kind in markdown_lines(text):
        if kind != "paragraph":
            numbered.append((number, None))
        numbered.append((number, line))
        if kind == "alone":
            numbered.append((number, None))
    return grouped(path, numbered)


def sentences(path, text):
    """Lines of Markdown that hold more, or less, than one sentence: line, message."""
    found, before = [], None
    for number, line, kind in markdown_lines(text):
        if kind == "alone":
            before = None
            continue
        plain = Text(path).add(number, ITEM.sub("", line, count=1) if kind == "item" else line).masked()
        if NEXT_SENTENCE.search(plain):
            found.append((number, "write one sentence per line"))
        if len(line) > LONGEST_LINE:
            found.append((number, f"write at most {LONGEST_LINE} characters per line, not {len(line)}"))
        if kind == "paragraph" and before is not None and not re.search(r"[.?!:][)\"*]*$", before):
            found.append((number, "do not break a sentence over two lines"))
        before = plain
    return found


def unreleased(path, text):
    """The unreleased part of a change log, its line numbers kept."""
    head, _, rest = text.partition("## [Unreleased]")
    return "\n" * head.count("\n") + re.split(r"\n## \[", rest)[0]


# A key, the dash of an item, or a reference: values stand between them.
KEY = re.compile(r"(?:^\s*|(?<=[{,])\s*|- )(?:- )*[\w.:/$*-]+:(?=\s|$)|^\s*- |!(?:Ref|GetAtt|Condition) \S+")


def yaml(path, text):
    """All comments, and all values."""
    numbered, in_comment = [], False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#") != in_comment or not stripped:
            numbered.append((number, None))
        in_comment = stripped.startswith("#")
        if in_comment:
            numbered.append((number, stripped.lstrip("# ")))
            continue
        code, _, remark = line.partition(" # ")
        continued, *values = KEY.sub("\0", code).split("\0")
        numbered.append((number, continued))
        for value in values + ([remark] if remark else []):
            numbered += [(number, None), (number, value)]
    return grouped(path, numbered)


TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)|(?P<raw>b?r(?P<hashes>\#*)"(?P<content>.*?)"(?P=hashes))"""
    r"""|(?P<string>b?"(?:\\.|[^"\\])*")|(?P<template>`[^`]*`)|'(?:\\.[^']*|[^'\\])'""",
    re.DOTALL | re.VERBOSE,
)


def source(path, text):
    """The comments of Rust or JavaScript code, and its strings of more than one word.

    The tests at the end of a Rust file are left out.
    """
    text = text.split("#[cfg(test)]\nmod tests")[0]
    texts, comment, last = [], Text(path), None
    for token in TOKEN.finditer(text):
        number = text.count("\n", 0, token.start()) + 1
        if token["comment"]:
            line = token["comment"].lstrip("/!").strip()
            if last != number - 1 or not line:
                texts.append(comment)
                comment = Text(path)
            comment.add(number, line)
            last = number
            continue
        string = token["content"] or token["string"] or token["template"]
        if string and re.search(r"\w[^\w\s]* +\S*\w", string):
            value = Text(path)
            for offset, line in enumerate(re.sub(r"\\n", " ", string).split("\n")):
                value.add(number + offset, line.rstrip("\\").replace('\\"', '"'))
            texts.append(value)
    return [text for text in [*texts, comment] if text.value]


def comments(path, text):
    """The comments of a file in which they begin with `#`; in a Makefile `##` explains a target."""
    numbered = []
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"\s*#+ (.*)", line)
        remark = found or re.search(r"\s##? (.*)", line)
        if not found:
            numbered.append((number, None))
        if remark:
            numbered.append((number, remark[1]))
    return grouped(path, numbered)


def help_texts(program, command=()):
    """The help of a program and of all its subcommands."""
    run = subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True)
    place = " ".join(["enforcer", *command, "--help"])
    numbered = []
    for number, line in enumerate(run.stdout.splitlines(), 1):
        # An option, a subcommand or an example begins with two to six spaces; what belongs to it has more.
        if not line.strip() or re.match(r" {2,6}\S", line):
            numbered.append((number, None))
        numbered.append((number, line))
    texts = grouped(place, numbered)
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", run.stdout, re.MULTILINE)
    for name in re.findall(r"^  (\w+)", listed[1], re.MULTILINE) if listed else []:
        if name != "help":
            texts += help_texts(program, (*command, name))
    return texts
