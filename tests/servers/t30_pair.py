"""Two fax machines back to back in memory: real T.30 and real modem signals, hundreds of times faster than a line, with faults.

    call(Path("in.tif"), Path("out.tif"), line=LineFaults(clicks=0.005), receiver=Ability(with_ecm=False))

Same pages, faults and seed: the same call, whatever the machine does meanwhile.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.spandsp import FRAME_SAMPLES, FRAME_SECONDS, Ability, FaxMachine, PageResult, Sound

_LONGEST_CALL_SECONDS = 1800
_FRAMES_AFTER_THE_END = 10
# Two milliseconds: what a bad contact or a switch leaves on an analogue line.
CLICK_SAMPLES, CLICK_LOUDNESS = 16, 6000


@dataclass(frozen=True)
class LineFaults:
    """`clicks` and `lost`: share of the 20 ms frames that bear a 2 ms impulse, or do not arrive. The line may be cut when the
    receiver has `cut_on_page` - 1 pages and is in the middle of the next, or after `cut_after_seconds`.
    """

    clicks: float = 0.0
    lost: float = 0.0
    cut_on_page: int = 0
    cut_after_seconds: float = float("inf")
    seed: int = 1


@dataclass(frozen=True)
class CallReport:
    """How a call went: each end's last word (`OK`, or spandsp's reason), what each noted of every page, and its length."""

    sender_said: str
    receiver_said: str
    sent: tuple[PageResult, ...]
    received: tuple[PageResult, ...]
    line_seconds: float

    @property
    def is_whole(self) -> bool:
        """True when both ends hold the call to have succeeded."""
        return self.sender_said == self.receiver_said == "OK"


def add_click(sound: Any, chance: random.Random) -> None:
    """One impulse somewhere in a frame."""
    start = chance.randrange(FRAME_SAMPLES - CLICK_SAMPLES)
    for place in range(start, start + CLICK_SAMPLES):
        sound[place] = chance.randrange(-CLICK_LOUDNESS, CLICK_LOUDNESS)


def call(
    pages: Path,
    into: Path,
    *,
    line: LineFaults | None = None,
    sender: Ability | None = None,
    receiver: Ability | None = None,
) -> CallReport:
    """Send the TIFF `pages`; what arrives is written as TIFF `into`, unless nothing did."""
    calling = FaxMachine("0199000001", sender or Ability(), sends=pages)
    called = FaxMachine("0199000002", receiver or Ability(), receives=into)
    try:
        seconds = _talk(calling, called, line or LineFaults())
        return CallReport(calling.said, called.said, tuple(calling.pages), tuple(called.pages), seconds)
    finally:
        calling.close()
        called.close()


def _talk(calling: FaxMachine, called: FaxMachine, line: LineFaults) -> float:
    chance, silence = random.Random(line.seed), Sound()
    frames = after = page_frames = 0
    while after < _FRAMES_AFTER_THE_END and frames * FRAME_SECONDS < _LONGEST_CALL_SECONDS:
        frames += 1
        for speaker, listener in ((calling, called), (called, calling)):
            sound = speaker.speak()
            if line.clicks and chance.random() < line.clicks:
                add_click(sound, chance)
            listener.hear(silence if line.lost and chance.random() < line.lost else sound)
        after += calling.has_ended and called.has_ended
        page_frames = page_frames + 1 if line.cut_on_page and len(called.pages) >= line.cut_on_page - 1 else 0
        if page_frames * FRAME_SECONDS > _INTO_THE_PAGE_SECONDS or frames * FRAME_SECONDS > line.cut_after_seconds:
            for machine in (calling, called):
                machine.hang_up()
            break
    return frames * FRAME_SECONDS


# Training is over and rows are under way, no page is through: 3 s on the first page (with its handshake: 15 s before) is enough.
_INTO_THE_PAGE_SECONDS = 5.0
