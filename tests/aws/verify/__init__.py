"""Answers the open questions about AWS by experiments in an account, and removes what they created.

`python -m verify --help`; docs/contributing/VERIFYING.md.
"""
