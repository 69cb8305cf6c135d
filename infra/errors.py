"""The one error adapters raise for what is not our fault: a dependency that does not answer."""


class Unavailable(Exception):
    """A dependency is down, overloaded or was restarted: back off and try again; never a defect, never a dead letter.

    The text names the operation that failed (``append postings``); the cause is chained.
    """

    def in_full(self) -> str:
        """Return the text with the cause, where there is one: for those who operate the system."""
        return f"{self} ({self.__cause__!r})" if self.__cause__ else str(self)


class TookTooLong(Unavailable):
    """A database transaction was ended because of the time it took; a smaller one may do."""


class Refused(Unavailable):
    """A dependency is there and does not let us: the rules or a password have to be put right before it does.

    The text is a sentence that says what was refused to whom, and what to do.
    """
