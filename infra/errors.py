"""The one error adapters raise for what is not our fault: a dependency that does not answer."""


class Unavailable(Exception):
    """A dependency is down, overloaded or was restarted: back off and try again; never a defect, never a dead letter.

    The text names the operation that failed (``append postings``); the cause is chained.
    """


class TookTooLong(Unavailable):
    """A database transaction was ended because of the time it took; a smaller one may do."""
