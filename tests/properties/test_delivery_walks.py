"""Random walks through the ledger: whatever happens in whatever order, states stay in the transition table, proofs never go
back, nothing is lost, and no receipt is counted twice.

The walk drives the real ledger (SQLite, in a file) with everything that can happen: sends, answers, crashes, lost leases, proofs
in any order, new versions, cancellations, decisions, worker that come late.
"""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from adapter.audit.trail import seal_audit, verify_chain
from adapter.errors import IllegalTransitionError, LedgerError, StaleClaimError
from adapter.ledger.records import Decision, Phase, Settlement
from adapter.model.audit import ChainHead
from adapter.model.delivery import TRANSITIONS, Delivery
from adapter.model.delivery import DeliveryState as S
from adapter.model.evidence import Evidence
from adapter.model.submission import Intent
from adapter.model.work_item import WorkAbout
from tests.builders.ledger import ENTITY, FAX, MAIL, World, work_item

pytestmark = pytest.mark.properties

WAIT = {MAIL: timedelta(minutes=15), FAX: timedelta(minutes=5)}
PROOFS = [S.ACCEPTED, S.DELIVERED, S.READ, S.INTEGRATED, S.REFUSED]
SETTLEMENTS = [S.ACCEPTED, S.QUEUED, S.REFUSED, S.UNCLEAR, S.PARKED, S.INTEGRATED]


class Template:
    """One migrated file, made at first use and copied for each walk."""

    path: Path | None = None

    @classmethod
    def copy(cls, folder: str) -> str:
        """A fresh ledger; returns its URL."""
        if cls.path is None:
            cls.path = Path(tempfile.mkdtemp(prefix="tdu-walk-")) / "template.db"
            atexit.register(shutil.rmtree, cls.path.parent, ignore_errors=True)
            world = World(f"sqlite:///{cls.path}")
            world.ledger.migrate()
            world.ledger.close()
        shutil.copy(cls.path, f"{folder}/ledger.db")
        return f"sqlite:///{folder}/ledger.db"


class DeliveryWalk(RuleBasedStateMachine):
    """One ledger, many hands."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="tdu-walk-")
        self.world = World(Template.copy(self.folder))
        self.sent: dict[str, Delivery] = {}
        self.receipts = 0
        self.documents = 0

    def teardown(self) -> None:
        """Stop, and remove the file."""
        self.world.ledger.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _quietly(self, act: Callable[[], object]) -> None:
        """A worker that lost its claim, or asks for what may not be, is told so; nothing else may happen."""
        try:
            act()
        except (StaleClaimError, IllegalTransitionError):
            pass
        except LedgerError as error:
            if error.code not in {"work-item.no-retry", "work-item.no-correction", "delivery.newer-version", "delivery.on-wire"}:
                raise

    # ── what can happen ───────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.receipts < 8)
    @rule(
        line=st.sampled_from(["set-1", "set-2"]),
        version=st.integers(1, 3),
        intent=st.sampled_from(list(Intent)),
        roles=st.sampled_from([("role:a",), ("role:b",), ("role:a", "role:b")]),
        channels=st.sampled_from([(MAIL,), (MAIL, FAX), (FAX, MAIL)]),
    )
    def a_document_comes(self, line: str, version: int, intent: Intent, roles: tuple, channels: tuple) -> None:  # type: ignore[type-arg]
        self.receipts += 1
        self.world.send(f"{line}-v{version}", set_id=line, version=version, intent=intent, roles=roles, channels=channels)

    @rule(target=held, channel=st.sampled_from([MAIL, FAX]))
    def a_worker_claims(self, channel: object) -> Delivery | None:
        claims = self.world.claim(channel, 1)  # type: ignore[arg-type]
        return claims[0].delivery if claims else None

    @rule(delivery=held)
    def it_goes_on_the_wire(self, delivery: Delivery | None) -> None:
        if delivery is None:
            return
        try:
            self.world.ledger.mark_on_wire(delivery.id, delivery.fence, self.world.clock())
        except StaleClaimError:
            return
        self.sent[delivery.reference] = delivery

    @rule(delivery=held, state=st.sampled_from(SETTLEMENTS), next_leg=st.booleans(), listed=st.booleans())
    def it_is_settled(self, delivery: Delivery | None, state: S, next_leg: bool, listed: bool) -> None:
        if delivery is None:
            return
        item = work_item(self.world, WorkAbout.DELIVERY, delivery.id, "walk")
        opens = next_leg and state is S.REFUSED
        settlement = Settlement(
            state,
            "walk",
            not_before=self.world.clock() + timedelta(seconds=30) if state in (S.QUEUED, S.UNCLEAR) else None,
            open_next_leg=opens,
            work_item=item if listed or (state in (S.REFUSED, S.PARKED) and not opens) else None,
            work_item_only_if_last=opens,
        )
        self._quietly(lambda: self.world.ledger.settle_send(delivery.id, delivery.fence, settlement))

    @rule(delivery=held)
    def it_is_given_back(self, delivery: Delivery | None) -> None:
        if delivery is not None:
            self._quietly(lambda: self.world.ledger.release_delivery(delivery.id, delivery.fence))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), proof=st.sampled_from(PROOFS))
    def a_proof_comes(self, data: st.DataObject, proof: S) -> None:
        reference = data.draw(st.sampled_from(sorted(self.sent)))
        evidence = Evidence(reference, proof, self.world.clock(), "dsn", "bounced" if proof is S.REFUSED else "")
        self.world.ledger.record_evidence([evidence], "mailbox", "1", legal_entity=ENTITY)

    @rule(seconds=st.sampled_from([1, 61, 1000]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(seconds=seconds)

    @rule()
    def leases_are_reaped(self) -> None:
        self.world.ledger.reap(WAIT)

    @precondition(lambda self: self.world.items())
    @rule(data=st.data(), decision=st.sampled_from(list(Decision)))
    def a_person_decides(self, data: st.DataObject, decision: Decision) -> None:
        items = self.world.items()
        item = items[data.draw(st.integers(0, len(items) - 1))]
        self._quietly(lambda: self.world.ledger.resolve(item.id, decision, "Mme Essai", legal_entity=ENTITY))

    # ── what must hold ────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def nothing_is_lost(self) -> None:
        count = self.world.ledger.conservation(legal_entity=ENTITY)
        assert count.holds, count
        assert count.received == self.receipts

    @invariant()
    def only_the_newest_version_may_still_leave(self) -> None:
        """Of one line and role, what is queued or waiting is of one version. A change of metadata brings no version."""
        unsent: dict[tuple[str, str], set[int]] = {}
        for delivery in self._all():
            brings_a_version = delivery.intent in (Intent.NEW.value, Intent.REPLACE.value)
            if delivery.state in (S.QUEUED, S.WAITING, S.CLAIMED) and brings_a_version:
                line = delivery.document_id.rpartition("-v")[0]
                unsent.setdefault((line, delivery.role_id), set()).add(delivery.version)
        assert all(len(versions) == 1 for versions in unsent.values()), unsent

    @invariant()
    def the_cached_phase_is_the_computed_one(self) -> None:
        from sqlalchemy import select

        from adapter.ledger.tables import submission

        with self.world.ledger._database.read() as connection:
            cached = {row.id: row.phase for row in connection.execute(select(submission.c.id, submission.c.phase))}
        for submission_id, phase in cached.items():
            assert self.world.ledger.status_of(submission_id, legal_entity=ENTITY).phase is Phase(phase)

    @invariant()
    def every_walk_stays_in_the_table(self) -> None:
        """Read from the log: each state that was written may follow the one before it; a proof never goes back."""
        states = {state.value for state in S}
        for delivery, events in self._logs():
            walk = [S(kind) for kind in events if kind in states]
            assert walk[-1] is delivery.state
            for before, after in itertools.pairwise(walk):
                assert after in TRANSITIONS[before], (before, after)

    def _all(self) -> list[Delivery]:
        return [delivery for delivery, _ in self._logs()]

    def _logs(self) -> list[tuple[Delivery, list[str]]]:
        from sqlalchemy import select

        from adapter.ledger.rows import delivery_value
        from adapter.ledger.tables import delivery, event

        with self.world.ledger._database.read() as connection:
            logs: dict[str, list[str]] = {}
            for row in connection.execute(select(event.c.about_id, event.c.kind).order_by(event.c.number)):
                logs.setdefault(row.about_id, []).append(row.kind)
            return [(delivery_value(row), logs[row["id"]]) for row in connection.execute(select(delivery)).mappings()]

    @rule()
    def the_trail_is_sealed(self) -> None:
        seal_audit(self.world.ledger)
        rows = self.world.ledger.read_audit(0, 10_000, legal_entity=ENTITY)
        assert verify_chain(rows, ChainHead(), self.world.vault.audit_mac_matches) is None


TestDeliveryWalk = DeliveryWalk.TestCase
TestDeliveryWalk.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
