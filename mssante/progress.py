"""What a proof does to a mail's progress, for one (message, recipient): the truth table. Pure, and proofs may come in any order.

    | proof                                        | what it shows                                          | progress     |
    |----------------------------------------------|--------------------------------------------------------|--------------|
    | —                                            | we hold the mail                                       | queued       |
    | SENT, DELAYED                                | our operator has it                                    | submitted    |
    | RELAYED, EXPANDED                            | passed on to who promises nothing more                 | relayed      |
    | EXPIRED                                      | no news for as long as the caller waits                | expired      |
    | REJECTED, FAILED                             | our operator or theirs gave it up                      | failed       |
    | DELIVERED, DELETED                           | it reached the mailbox (deleted unread: also)          | delivered    |
    | DISPLAYED, DISPATCHED                        | somebody read it, or passed it on                      | displayed    |
    | REFUSED                                      | the recipient's software could not file it (902…)      | refused      |
    | INTEGRATED                                   | filed                                                  | integrated   |

Lines are in rank: `advance` takes the higher of what is and what the proof shows, so nothing ever regresses, a proof shown twice
is shown once, and two proofs end alike in either order. Hence:

- an MDN may come before the DSN: `displayed` stays when `delivered` comes;
- proof of arrival prevails over failure and silence: a bounce of one path does not undo what another path has shown;
- `refused` prevails over `displayed` (somebody saw it, the software did not file it) and yields to `integrated` (filed by hand);
- silence counts before delivery only: webmails owe no MDN, so `delivered` never expires.
"""

from __future__ import annotations

from enum import StrEnum


class Progress(StrEnum):
    """How far a mail has come for one recipient; in rank."""

    QUEUED = "queued"
    SUBMITTED = "submitted"
    RELAYED = "relayed"
    EXPIRED = "expired"
    FAILED = "failed"
    DELIVERED = "delivered"
    DISPLAYED = "displayed"
    REFUSED = "refused"
    INTEGRATED = "integrated"


class Proof(StrEnum):
    """What came to be known of a mail."""

    SENT = "sent"
    REJECTED = "rejected"
    DELAYED = "delayed"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    DISPLAYED = "displayed"
    DISPATCHED = "dispatched"
    DELETED = "deleted"
    INTEGRATED = "integrated"
    REFUSED = "refused"


SHOWS = {
    Proof.SENT: Progress.SUBMITTED,
    Proof.DELAYED: Progress.SUBMITTED,
    Proof.RELAYED: Progress.RELAYED,
    Proof.EXPANDED: Progress.RELAYED,
    Proof.EXPIRED: Progress.EXPIRED,
    Proof.REJECTED: Progress.FAILED,
    Proof.FAILED: Progress.FAILED,
    Proof.DELIVERED: Progress.DELIVERED,
    Proof.DELETED: Progress.DELIVERED,
    Proof.DISPLAYED: Progress.DISPLAYED,
    Proof.DISPATCHED: Progress.DISPLAYED,
    Proof.REFUSED: Progress.REFUSED,
    Proof.INTEGRATED: Progress.INTEGRATED,
}
_RANK = {progress: rank for rank, progress in enumerate(Progress)}


def advance(before: Progress, proof: Proof) -> Progress:
    """The progress once the proof is known."""
    return max(before, SHOWS[proof], key=_RANK.__getitem__)
