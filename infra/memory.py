"""How a process that lives long collects garbage: seldom, and never what was there from the start."""

import gc


def collect_seldom(containers: int) -> None:
    """Let the collector pass over what is loaded by now, and look at the rest every so many new containers.

    What is loaded stays for good, and most of what a request or a batch makes is in no cycle: reference counts free it.
    With Python's default (700 containers) the collector walks all of it again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(containers, 20, 50)
