"""What the nightly round (`tdu sync`) may do: how far it looks back, where backups go, how long content is kept.

Nothing is deleted by default earlier than French law lets a hospital: medical content is kept 20 years (CSP R.1112-7).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapter.config.bounds import bounded

# Twenty years, leap days counted.
TWENTY_YEARS_DAYS = 7305


@dataclass(frozen=True)
class Night:
    """How far the round looks back, in civil days.

    `backfill_days`: documents faxed within so many days to a partner who is equipped since are sent again electronically, as
    copies; 0: none. `proof_days`: a mail that its operator took and nobody proved delivered for so long is told.
    """

    backfill_days: int = bounded(0, 0, 365)
    reconcile_days: int = bounded(7, 1, 90)
    proof_days: int = bounded(3, 1, 90)
    figures_days: int = bounded(35, 1, 400)
    backup_directory: Path = Path("backups")
    backup_generations: int = bounded(7, 1, 400)


@dataclass(frozen=True)
class Retention:
    """How long what is over is kept, in days; what is open, parked or asked about is never touched.

    `content_days`: documents, plans and originals. `refused_days`: messages that were refused: their sender kept them.
    `event_days`: the log of each document's steps. The audit trail is never purged. `fax_image_days`: pages received by fax whose
    document came with them as data; the document itself stays as long as any other.
    """

    content_days: int = bounded(TWENTY_YEARS_DAYS, 366, 36_525)
    refused_days: int = bounded(366, 31, 36_525)
    event_days: int = bounded(TWENTY_YEARS_DAYS, 366, 36_525)
    fax_image_days: int = bounded(TWENTY_YEARS_DAYS, 31, 36_525)
