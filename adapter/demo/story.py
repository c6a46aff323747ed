"""The demo: six things that a hospital and a health centre send, through the real doors, to the end of their way.

Each scene's verdict reads what the partners *received*: the mail's archive, the record's resources, the fax pages, the
acknowledgement on the wire. The ledger is only asked for the timeline that is printed.
"""

from __future__ import annotations

import base64
import email
import email.message
import email.policy
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pypdfium2 as pdfium
import requests
from PIL import Image
from rich.console import Console
from rich.table import Table

from adapter.config import load_config
from adapter.demo.guide import write_guide
from adapter.demo.messages import Sender, To, mdm_t02, send_mllp, with_new_ids
from adapter.demo.stage import CENTRE, HOSPITAL, Stage
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import PayloadKind, Timeline
from adapter.opening import open_ledger

PATIENCE_SECONDS = 45.0
SETTLING_SECONDS = 1.5
HOSPITAL_IS = Sender("DPI", "BICETRE", "99900000086", "MAQUETTE", "Alix", "949990121", "Hôpital Bicêtre", "221")
WITH_MAIL = To("99900000060", "ARCHETYPE", "Camille")
WITHOUT_MAIL = To("99900000029", "FICTIF", "Sacha")
WITH_RECORD = To("99700000013", "MODELE", "Dominique")
TO_PROFESSIONALS = ("DESTMSSANTEPS",)
TO_RECORD_TOO = ("DESTMSSANTEPS", "DESTDMP")
FAX_WIDTH = 1728


@dataclass
class Scene:
    """One thing sent: what was sent, what came back at once, what each partner should have in the end."""

    title: str
    reference: str
    entity: str = HOSPITAL
    sent: bytes = b""
    answer: bytes = b""
    expected: str = ""
    verdict: str = ""
    reached: bool = False
    check: Callable[[Scene], str] = field(default=lambda _scene: "")


class Play:
    """Runs the scenes on a stage and says what became of each."""

    def __init__(self, stage: Stage, out: Path, console: Console) -> None:
        self._stage = stage
        self._out = out
        self._console = console
        self._letter = _shipped("lettre-de-sortie.xml")
        self._mails_before_repeat = 0
        self._told: set[tuple[str, str, str]] = set()

    def run(self) -> bool:
        """Play all scenes; True when each reached its expected end."""
        scenes: list[Scene] = []
        ledger = open_ledger(load_config(self._stage.config_file, {}))
        try:
            for send in (self._equipped, self._not_equipped, self._with_record, self._imaging_request, self._refused):
                scenes.append(self._announced(send()))
                self._tell_all(ledger, scenes)
            self._await(ledger, scenes)
            scenes.append(self._announced(self._repeat(scenes[0])))
            self._tell_all(ledger, scenes)
        finally:
            ledger.close()
        for scene in scenes:
            self._finish(scene)
        self._print(scenes)
        verdicts = [(scene.reference, scene.title, scene.verdict) for scene in scenes]
        left = {path.name: path.read_bytes() for path in self._out.iterdir() if path.is_file()}
        self._keep("LISEZ-MOI.md", write_guide(verdicts, left).encode())
        return all(scene.reached for scene in scenes)

    def _announced(self, scene: Scene) -> Scene:
        self._console.print(f"[bold]▶ {scene.reference}[/bold]  {scene.title}")
        return scene

    # ── scenes ────────────────────────────────────────────────────────────────────────────────────────────────

    def _equipped(self) -> Scene:
        return self._letter_scene(
            "Lettre de sortie, médecin équipé de la messagerie sécurisée", "DEMO-1", WITH_MAIL, TO_PROFESSIONALS, self._has_mail
        )

    def _not_equipped(self) -> Scene:
        return self._letter_scene(
            "La même, médecin sans messagerie : télécopie", "DEMO-2", WITHOUT_MAIL, TO_PROFESSIONALS, self._has_fax
        )

    def _with_record(self) -> Scene:
        return self._letter_scene(
            "La même, patient qui a aussi un dossier partagé", "DEMO-3", WITH_RECORD, TO_RECORD_TOO, self._has_mail_and_record
        )

    def _letter_scene(self, title: str, control_id: str, to: To, flags: tuple[str, ...], check: Callable[[Scene], str]) -> Scene:
        cda = with_new_ids(self._letter, f"1.2.250.1.999.94.9.{control_id[-1]}")
        message = mdm_t02(cda, control_id, HOSPITAL_IS, [to], open_flags=flags)
        scene = Scene(title, control_id, sent=cda, check=check)
        scene.answer = self._send(message, control_id)
        return scene

    def _imaging_request(self) -> Scene:
        form = _form_of_today(_shipped("demande-imagerie.json"))
        answer = requests.post(
            f"http://127.0.0.1:{self._stage.http_port}/forms/demande-imagerie",
            data=form,
            headers={"Content-Type": "application/json", "Idempotency-Key": "DEMO-4"},
            timeout=30,
        )
        self._keep("DEMO-4.answer.json", answer.content)
        scene = Scene("Demande d'imagerie par HTTP, service d'imagerie équipé", "DEMO-4", CENTRE, form, answer.content)
        scene.check = self._has_request if answer.status_code == 202 else lambda _s: f"HTTP {answer.status_code}"
        return scene

    def _refused(self) -> Scene:
        cda = with_new_ids(self._letter, "1.2.250.1.999.94.9.5")
        message = mdm_t02(cda, "DEMO-5", HOSPITAL_IS, [WITH_MAIL], open_flags=TO_PROFESSIONALS, ins="274099404321700")
        scene = Scene("Message à refuser : clé de l'INS fausse", "DEMO-5", sent=cda, check=_was_refused)
        scene.answer = self._send(message, "DEMO-5")
        return scene

    def _repeat(self, first: Scene) -> Scene:
        self._mails_before_repeat = len(self._stage.operator.received)
        message = mdm_t02(first.sent, "DEMO-1", HOSPITAL_IS, [WITH_MAIL], open_flags=TO_PROFESSIONALS)
        scene = Scene("Répétition du premier message : même réponse, rien de plus", "DEMO-1 (bis)", sent=first.sent)
        scene.answer = self._send(message, "DEMO-1.repeat")
        time.sleep(1.5)  # long enough for a second delivery to show, were there one
        same = scene.answer == first.answer
        extra = len(self._stage.operator.received) - self._mails_before_repeat
        scene.check = lambda _s: "" if same and not extra else f"même réponse : {same}, mails en plus : {extra}"
        scene.expected = "même ACK, aucun mail de plus"
        return scene

    def _send(self, message: bytes, name: str) -> bytes:
        answer = send_mllp(self._stage.mllp_port, message)
        self._keep(f"{name}.sent.hl7", message)
        self._keep(f"{name}.ack.hl7", answer)
        return answer

    # ── what the partners received ────────────────────────────────────────────────────────────────────────────

    def _has_mail(self, scene: Scene) -> str:
        scene.expected = "mail : IHE_XDM.zip avec le CDA à l'identique, et le PDF"
        found = [mail for mail in self._stage.operator.received if scene.sent in _archive_documents(mail.content)]
        if len(found) != 1:
            return f"{len(found)} mail avec ce CDA"
        names = _attachment_names(found[0].content)
        self._keep_mail(scene.reference, found[0].content)
        return "" if any(name.lower().endswith(".pdf") for name in names) else "pas de PDF joint"

    def _has_fax(self, scene: Scene) -> str:
        scene.expected = "télécopie : pages G4 1728 points, lisibles"
        pages = self._stage.fax.received()
        if len(pages) != 1:
            return f"{len(pages)} télécopies reçues"
        with Image.open(io.BytesIO(pages[0])) as tiff:
            frames = getattr(tiff, "n_frames", 1)
            width, compression = tiff.size[0], tiff.info.get("compression")
        self._keep(f"{scene.reference}.fax.tiff", pages[0])
        return "" if (width, compression) == (FAX_WIDTH, "group4") and frames >= 2 else f"{frames} pages, {width} points"

    def _has_mail_and_record(self, scene: Scene) -> str:
        problem = self._has_mail(scene)
        scene.expected = "mail et dossier partagé, CDA à l'identique des deux côtés"
        documents = list(self._stage.record.resources.get("DocumentReference", {}).values())
        digest = hashlib.sha1(scene.sent, usedforsecurity=False).digest()
        held = [d for d in documents if _attachment_hash(d) == base64.b64encode(digest).decode()]
        if len(held) != 1:
            return problem or f"{len(held)} document au dossier"
        self._keep(f"{scene.reference}.document-reference.json", json.dumps(held[0], ensure_ascii=False, indent=1).encode())
        return problem

    def _has_request(self, scene: Scene) -> str:
        scene.expected = "mail à l'imagerie : CDA 55115-0, mot de l'urgence sur la page"
        found = [
            mail
            for mail in self._stage.operator.received
            if any(b'code="55115-0"' in document for document in _archive_documents(mail.content))
        ]
        if len(found) != 1:
            return f"{len(found)} demande reçue"
        self._keep_mail(scene.reference, found[0].content)
        word = json.loads(scene.sent)["demande"]["urgence"]
        return "" if word.lower() in _pdf_text(found[0].content).lower() else f"le mot « {word} » n'est pas sur la page"

    # ── waiting, printing, keeping ────────────────────────────────────────────────────────────────────────────

    def _await(self, ledger: Ledger, scenes: list[Scene]) -> None:
        """Until every check passes or patience ends; timelines are printed as they grow."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(scene.check(scene) for scene in scenes) and time.monotonic() < deadline:
            self._tell_all(ledger, scenes)
            time.sleep(0.3)
        time.sleep(SETTLING_SECONDS)  # the last proofs (a fax's pages) are a moment behind the bytes
        self._tell_all(ledger, scenes)
        for scene in scenes:
            self._keep_understanding(ledger, scene)

    def _tell_all(self, ledger: Ledger, scenes: list[Scene]) -> None:
        """Print what is new in the timelines, in time order."""
        new: list[tuple[datetime, str]] = []
        for scene in scenes:
            for timeline in _timelines(ledger, scene):
                names = {d.id: d.channel.value for s in timeline.submissions for d in s.deliveries}
                for event in timeline.events:
                    key = (event.about_id, event.kind, event.at.isoformat())
                    if key not in self._told:
                        self._told.add(key)
                        who = names.get(event.about_id, event.about.value)
                        new.append((event.at, f"{scene.reference:<13} {who:<14} {event.kind} {event.detail}"))
        for at, line in sorted(new):
            self._console.print(f"   {at:%H:%M:%S.%f}  {line}", highlight=False, markup=False, soft_wrap=True)

    def _keep_understanding(self, ledger: Ledger, scene: Scene) -> None:
        for timeline in _timelines(ledger, scene):
            for trace in timeline.submissions:
                bundle = ledger.read_payload(PayloadKind.BUNDLE, trace.submission.id, legal_entity=scene.entity)
                self._keep(f"{scene.reference}.bundle.json", bundle)

    def _keep_mail(self, name: str, content: bytes) -> None:
        self._keep(f"{name}.eml", content)
        for part in email.message_from_bytes(content, policy=email.policy.default).walk():
            file_name = part.get_filename()
            if file_name:
                self._keep(f"{name}.{file_name}", _payload(part))

    def _keep(self, name: str, content: bytes) -> None:
        (self._out / name.replace("/", "_")).write_bytes(content)

    def _finish(self, scene: Scene) -> None:
        problem = scene.check(scene)
        scene.reached = not problem
        scene.verdict = problem or "comme attendu"

    def _print(self, scenes: list[Scene]) -> None:
        table = Table(
            "référence", "ce qui a été envoyé", "attendu chez le partenaire", "constaté", title="Trait d'union, démonstration"
        )
        for scene in scenes:
            mark = "[green]✔[/green]" if scene.reached else "[red]✘[/red]"
            table.add_row(scene.reference, scene.title, scene.expected, f"{mark} {scene.verdict}")
        self._console.print(table)


def _timelines(ledger: Ledger, scene: Scene) -> list[Timeline]:
    found = [ledger.timeline(row, legal_entity=scene.entity) for row in ledger.find(scene.reference, legal_entity=scene.entity)]
    unique = {timeline.receipt.id: timeline for timeline in found if timeline is not None}
    return list(unique.values())


def _was_refused(scene: Scene) -> str:
    scene.expected = "ACK AE avec ERR, rien d'envoyé"
    return "" if b"MSA|AE|DEMO-5" in scene.answer and b"\rERR|" in scene.answer else "pas de refus AE"


def _archive_documents(mail: bytes) -> list[bytes]:
    documents: list[bytes] = []
    for part in email.message_from_bytes(mail, policy=email.policy.default).walk():
        if part.get_content_type() == "application/zip":
            with zipfile.ZipFile(io.BytesIO(_payload(part))) as archive:
                documents += [archive.read(name) for name in archive.namelist() if "/DOC" in name]
    return documents


def _form_of_today(shipped: bytes) -> bytes:
    """The shipped request as if written today: a door refuses a date to come, an old one would be overdue."""
    form = json.loads(shipped)
    form["demande"]["date"] = datetime.now(ZoneInfo("Europe/Paris")).date().isoformat()
    return json.dumps(form, ensure_ascii=False).encode()


def _pdf_text(mail: bytes) -> str:
    """The words of the PDF beside the archive, as a reader would see them."""
    for part in email.message_from_bytes(mail, policy=email.policy.default).walk():
        if part.get_content_type() == "application/pdf":
            document = pdfium.PdfDocument(_payload(part))
            return " ".join(page.get_textpage().get_text_bounded() for page in document)
    return ""


def _payload(part: email.message.Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _attachment_names(mail: bytes) -> list[str]:
    return [part.get_filename() or "" for part in email.message_from_bytes(mail, policy=email.policy.default).walk()]


def _attachment_hash(document: dict[str, Any]) -> str:
    contents = document.get("content") or [{}]
    return str(contents[0].get("attachment", {}).get("hash", ""))


def _shipped(name: str) -> bytes:
    return (resources.files("adapter") / "demo" / "documents" / name).read_bytes()


def run_demo(out: Path, console: Console) -> int:
    """Set the stage in `out/service`, play, leave every artefact under `out`; 0 when each scene reached its expected end."""
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with Stage(out / "service") as stage:
        reached = Play(stage, out, console).run()
    ending = "Tout est arrivé" if reached else "Quelque chose manque"
    console.print(f"{ending} en {time.monotonic() - started:.1f} s ; pièces dans {out}/, à commencer par LISEZ-MOI.md")
    return 0 if reached else 1
