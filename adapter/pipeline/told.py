"""What a receipt leaves beside documents: proofs, words on identities, why it asks for nothing, or for whom it waits. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapter.ledger.records import StoredEffects
from adapter.model.effects import Effect, Ignored, Parked, Refusal
from adapter.model.evidence import Evidence
from adapter.model.patient import IdentityUpdate
from adapter.model.submission import Submission

# What the sender of a mail is told of what stops it on our side.
NOT_TAKEN = "identity-906"


def told_by(effects: Sequence[Effect]) -> StoredEffects:
    """What a receipt leaves beside documents."""
    updates = tuple(effect for effect in effects if isinstance(effect, IdentityUpdate))
    evidences = tuple(effect for effect in effects if isinstance(effect, Evidence))
    outcomes = [effect for effect in effects if isinstance(effect, (Ignored, Parked))]
    outcome = next((one for one in outcomes if isinstance(one, Parked)), outcomes[0] if outcomes else None)
    if not effects:
        outcome = Ignored("nothing-to-send")
    return StoredEffects((), (), outcome, evidences, updates)


def told_to_sender(problem: Parked, submission: Submission) -> Parked:
    """Who sent a mail that waits for a person learns it, if they asked; other doors answered already."""
    if submission.mail is None or not submission.acks.any:
        return problem
    return replace(problem, refusal=Refusal(submission.acks, NOT_TAKEN))


def parked(reason: str, advice: str) -> StoredEffects:
    """A receipt that waits for a person."""
    return StoredEffects((), (), Parked(reason, advice))
