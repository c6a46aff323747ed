"""How a process of ours tends its memory: what a document leaves is freed at once, so the search for cycles may be rare.

Python looks for cycles after every 700 objects made, and a letter makes ten thousand: measured, a twentieth of the time of
understanding it. Our trees are let go of by their own hand (`XmlSource.close`); what a library leaves is found later.
"""

from __future__ import annotations

import gc

_OBJECTS_BETWEEN_SEARCHES = 20_000


def settle_memory() -> None:
    """Once, when a process has loaded its code: what stands now stays, and is not looked at again."""
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_SEARCHES, 10, 10)
