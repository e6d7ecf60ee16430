"""Known failures, each with the status it has and the reason; an entry that no longer fails fails the test.

A dishonest number is never a known failure: an error that does not bound the true one has to be repaired.
"""

__all__ = ["LEDGER"]

#: Name of a problem: status ('refused', 'rejected' or 'vague') and reason.
LEDGER: dict[str, tuple[str, str]] = {}
