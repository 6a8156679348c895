"""Faults a user can mend, in one sentence each."""


class UserError(Exception):
    """A fault in what the user gave us; its text is the one sentence the user sees."""
