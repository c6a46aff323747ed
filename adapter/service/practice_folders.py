"""The lanes of practices' folders: one each, on one worker of a host; a double elsewhere waits for the folder's lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from adapter.assembly import Instance, foldered_practices, sender_profile
from adapter.channels.drop_folder import PracticeFolder
from adapter.config.settings import ImportingPractice, PracticeDropFolder
from adapter.ledger.import_records import Kept, Said
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import StoredSubmission
from adapter.model.folder import FolderFormat
from adapter.model.parties import RecipientKind
from adapter.opening import new_id, now
from adapter.packaging.folder_files import Shelf
from adapter.packaging.hprim import HprimCharset
from adapter.pipeline.folders import FolderKeeper, FolderSettings
from adapter.routing.directory import Directory
from adapter.routing.policy import DROP_FOLDER, facts_of, shipped_policy
from adapter.service.lanes import Lane
from adapter.tracking.causes import opens_next_leg
from adapter.tracking.import_outcomes import final_outcomes, import_outcomes

log = structlog.get_logger()


def folder_lanes(instance: Instance) -> Iterator[Lane]:
    """A lane for each practice that has a folder."""
    inbox = instance.config.channels.inbox
    for practice in inbox.practices if inbox is not None else ():
        if practice.folder is not None:
            keeper = folder_keeper(instance, practice, practice.folder)
            yield Lane(f"folder-{practice.name}", keeper.keep, practice.folder.poll_seconds)


def folder_keeper(instance: Instance, practice: ImportingPractice, folder: PracticeDropFolder) -> FolderKeeper:
    """What keeps one practice's folder."""
    config = instance.config
    entity = next(entity for entity in config.legal_entities if entity.finess_ej == practice.legal_entity)
    settings = FolderSettings(
        practice=practice.name,
        legal_entity=practice.legal_entity,
        shelf=Shelf(FolderFormat(folder.format.value), HprimCharset(folder.charset.value), folder.names_patient),
        settle_seconds=folder.settle_seconds,
        vanish_seconds=folder.vanish_seconds,
        keep_days=folder.keep_days,
        only_way=practice.name in foldered_practices(config),
    )
    return FolderKeeper(
        settings,
        PracticeFolder(folder.path, import_outcomes()),
        instance.ledger,
        sender_profile(config, entity),
        partial(_objection, instance),
        said_in_folder(instance.ledger, practice.name, practice.legal_entity),
        clock=now,
        monotonic=time.monotonic,
        new_id=new_id,
    )


def said_in_folder(ledger: Ledger, practice: str, legal_entity: str) -> Callable[[Sequence[str], str], None]:
    """Keeps what a practice said by moving a file, as the API keeps what a client says."""

    def say(publications: Sequence[str], code: str) -> None:
        outcome = import_outcomes()[code]
        said = Said(code, outcome.proves, outcome.cause, f"folder:{practice}", final_outcomes())
        kept = ledger.keep_import_outcome(publications, said, legal_entity=legal_entity, opens_next_leg=opens_next_leg)
        if kept is Kept.CONFLICT:
            log.warning("folder.outcome-too-late", practice=practice, publications=list(publications), outcome=code)

    return say


def _objection(instance: Instance, stored: StoredSubmission, role_id: str) -> str:
    today = now().astimezone(ZoneInfo(instance.config.instance.time_zone)).date()
    return objection_to_folder(stored, role_id, instance.directory(), today)


def objection_to_folder(stored: StoredSubmission, role_id: str, directory: Directory, on: date) -> str:
    """What the policy says of a document in a folder that several people may open; empty when it says nothing."""
    facts = facts_of(stored.translation.submission, directory, on)
    kind = next((one.kind for one in stored.plan.recipients if one.role_id == role_id), RecipientKind.PROFESSIONAL)
    objection = shipped_policy().objection(facts, kind, DROP_FOLDER)
    return objection.reason if objection is not None else ""
