"""How a command ends that must leave nothing behind: children, sessions."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """Have SIGTERM and a closed terminal end this process by way of its ``finally`` blocks.

    Outside the main thread, where Python lets nobody choose, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    # Whoever runs us with one of them ignored (nohup) keeps it so.
    chosen = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in chosen:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in chosen:
            signal.signal(number, before[number])


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
