"""The table of daily figures: counts and delays by day, legal entity, partner, channel and document type. No patient content."""

from __future__ import annotations

from sqlalchemy import Column, Integer, PrimaryKeyConstraint, String, Table, Text

from adapter.ledger.tables import metadata

# What is counted, in the order of a report. `documents`: what came in; the rest: what became of their deliveries.
COUNTS = (
    "documents",
    "deliveries",
    "sent",
    "accepted",
    "delivered",
    "read",
    "integrated",
    "refused",
    "cancelled",
    "superseded",
    "parked",
    "open",
    "asked",
    "answered",
    "answered_in_time",
)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, default=0, server_default="0")


# `channel` is empty in the rows that count what came in. `delays`: how many proofs came within each step of
# `statistics.DELAY_STEPS`, as a JSON list, so that days add up.
daily_figure = Table(
    "daily_figure",
    metadata,
    Column("legal_entity", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("partner", String(200), nullable=False),
    Column("channel", String(40), nullable=False),
    Column("type_code", String(100), nullable=False),
    *(_count(name) for name in COUNTS),
    Column("delays", Text, nullable=False, default="[]", server_default="[]"),
    PrimaryKeyConstraint("legal_entity", "day", "partner", "channel", "type_code"),
)
