"""What a user did, told in a line: no traceback helps with it."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake of the user's. The message says what is wrong and what was wanted; the command line prints it and exits with 2."""
