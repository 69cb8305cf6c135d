"""The one error of this room: bytes that are not a message of ours."""


class MalformedMessage(Exception):
    """A record cannot be read as a message: wrong JSON, unknown type or version, missing or broken header.

    The text says what is wrong and is safe to show an operator: it never repeats the value.
    """
