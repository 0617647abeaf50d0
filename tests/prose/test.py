#!/usr/bin/env python3
"""Tests of the checker: what each rule finds and allows, which texts are read, and on which line a finding is."""

import tempfile
import unittest
from pathlib import Path

import check
import texts
from rules import RULES

CLEAN = """\
# Streams

The function encrypts every stream that is not compliant.
It assumes the role in the member account, and backs off when `letter` is a name, or [a link](docs/letters.md#told).

1. It checks the key.

* It publishes an outcome event, e.g. for a failed stream.
  A dead letter holds letters and digits.

[![A badge](badge.svg)](page)
[![Another](badge.svg)](page)

> [!WARNING]
> A quoted sentence.
> 1. It checks the key.

| column | meaning |
| --- | --- |
| `told` | A cell. May hold two sentences. |

```sh
enforcer told letters    # List the dead letters.
```
"""

MARKDOWN = """\
# A letter

A paragraph with a letter. And a second sentence.
A sentence that is
broken over two lines.

| column | meaning |
| --- | --- |
| `told` | It is told. |

```sh
enforcer demo     # on an embedded AWS
```
"""

YAML = """\
# A comment about a letter, which is fed
# back.
Description: >-
  A stream that is brought
  right.
Parameters:
  Letter: { Type: String, Default: letter-bucket }
  Bus: { default: Bus that outcomes are told on }
Letters: !GetAtt Letters.Arn # It is anew.
"""

RUST = r"""
//! Feeds letters
//! back.
const KEY: &str = "letter";
const NAME: char = '"';
const TEXT: &str = "the key of {letter} is \"fine\", \
    but the letter is not";
fn letters() {} // It is told.
#[cfg(test)]
mod tests {
    const TEXT: &str = "a letter of a test";
}
"""

COMMENTS = """\
letter:
	run letter
target: ## Tell a story
# A letter that is fed
# back.
"""

HELP = """\
#!/bin/sh
if [ "$1" = dlq ]; then
    echo 'Feed letters back'
else
    printf 'A program\\n\\nCommands:\\n  dlq   Work with\\n        letters\\n  help  Print\\n'
    printf '\\nOptions:\\n  --letter  A role to take on\\n'
fi
"""


def found(read):
    """The line and the phrase of every finding."""
    return sorted(
        (line, message.rpartition("not ")[2].strip("“”"))
        for text in read
        for line, message in check.phrases(text)
    )


class Rules(unittest.TestCase):
    def test_every_rule_finds_its_examples_and_says_what_to_write(self):
        for rule in RULES:
            for example in rule.finds:
                with self.subTest(example):
                    text = texts.Text("README.md").add(7, f"It says: {example}, and more.")
                    messages = [
                        message
                        for line, message in check.phrases(text)
                        if line == 7 and message.startswith(f"write “{rule.write}”, not “")
                    ]
                    self.assertTrue(messages)

    def test_every_rule_lets_pass_what_it_allows(self):
        for rule in RULES:
            for example in rule.allows:
                with self.subTest(example):
                    text = texts.Text("README.md").add(1, f"It says: {example}, and more.")
                    self.assertFalse(
                        [
                            message
                            for _, message in check.phrases(text)
                            if message.startswith(f"write “{rule.write}”")
                        ]
                    )

    def test_contributors_may_read_about_tests(self):
        line = "A test verifies this list."
        self.assertTrue(list(check.phrases(texts.Text("docs/IAM.md").add(1, line))))
        self.assertFalse(list(check.phrases(texts.Text("docs/contributing/TESTING.md").add(1, line))))
        self.assertFalse(list(check.phrases(texts.Text("src/arn.rs").add(1, line))))


class Readers(unittest.TestCase):
    def test_a_clean_document_passes(self):
        self.assertEqual(found(texts.markdown("README.md", CLEAN)), [])
        self.assertEqual(texts.sentences("README.md", CLEAN), [])

    def test_markdown(self):
        self.assertEqual(
            found(texts.markdown("README.md", MARKDOWN)),
            [(1, "letter"), (3, "letter"), (9, "told"), (12, "embedded AWS")],
        )
        self.assertEqual(
            texts.sentences("README.md", MARKDOWN),
            [(3, "write one sentence per line"), (5, "do not break a sentence over two lines")],
        )

    def test_quoted_lines_are_read_like_others(self):
        self.assertEqual(
            texts.sentences("README.md", "> One sentence. And another.\n> One that is\n> broken."),
            [(1, "write one sentence per line"), (3, "do not break a sentence over two lines")],
        )

    def test_a_line_is_not_endless(self):
        (finding,) = texts.sentences("README.md", "word " * 100 + "end.")
        self.assertEqual(finding, (1, "write at most 400 characters per line, not 504"))

    def test_of_a_change_log_only_what_is_unreleased(self):
        log = "# Changelog\n\n## [Unreleased]\n\n- A letter.\n\n## [1.0.0]\n\n- Another letter.\n"
        self.assertEqual(found(check.changes("CHANGELOG.md", log)), [(5, "letter")])

    def test_yaml(self):
        self.assertEqual(
            found(texts.yaml("template.yaml", YAML)),
            [(1, "fed back"), (1, "letter"), (4, "brought right"), (8, "told"), (9, "anew")],
        )

    def test_rust(self):
        self.assertEqual(
            found(texts.source("src/arn.rs", RUST)),
            [(2, "Feeds letters back"), (2, "letters"), (7, "letter"), (8, "told")],
        )

    def test_comments(self):
        self.assertEqual(
            found(texts.comments("Makefile", COMMENTS)), [(3, "Tell"), (4, "fed back"), (4, "letter")]
        )

    def test_help_of_all_subcommands(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "enforcer")
            program.write_text(HELP)
            program.chmod(0o755)
            read = texts.help_texts(program)
        self.assertEqual(
            found(read), [(1, "Feed letters back"), (1, "letters"), (5, "letters"), (9, "take on")]
        )
        self.assertEqual({text.path for text in read}, {"enforcer --help", "enforcer dlq --help"})


if __name__ == "__main__":
    unittest.main()
