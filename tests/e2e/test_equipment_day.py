"""Equipment day, with the real service and real partners on loopback: ten letters by fax, the partner becomes equipped, the next
letters leave by mail, the night sends the ten again as copies, and `tdu trace` tells the story.

Verdicts are read from what the fax machine and the mail operator received.
"""

from __future__ import annotations

import email
import email.policy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapter.config import load_config
from adapter.demo.messages import Sender, To, mdm_t02, with_new_ids
from adapter.demo.stage import HOSPITAL, Stage
from adapter.opening import now, open_ledger
from tests.builders.cda import build_n1
from tests.crash.play import Letter, send_until_acknowledged

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HOSPITAL_IS = Sender("DPI", "BICETRE", "99900000086", "MAQUETTE", "Alix", "949990121", "Hôpital Bicêtre", "221")
SOON_EQUIPPED = To("99900000037", "SPECIMEN", "Andrea")


def letter(number: int) -> Letter:
    control_id, document_id = f"EQ{number:03d}", f"1.2.250.1.999.94.77.{number}"
    cda = with_new_ids(build_n1(), document_id)
    message = mdm_t02(cda, control_id, HOSPITAL_IS, [SOON_EQUIPPED], open_flags=("DESTMSSANTEPS",))
    return Letter(control_id, document_id, message)


def tdu(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adapter", *words, "--config", str(stage.config_file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def wait_until(what: str, holds: Callable[[], bool], patience_seconds: float = 60.0) -> None:
    deadline = time.monotonic() + patience_seconds
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.2)


def states(stage: Stage, number: int) -> dict[str, str]:
    ledger = open_ledger(load_config(stage.config_file, {}))
    try:
        timeline = ledger.timeline(f"EQ{number:03d}", legal_entity=HOSPITAL)
    finally:
        ledger.close()
    sent = [d for trace in (timeline.submissions if timeline else ()) for d in trace.deliveries]
    return {d.channel.value: d.state.value for d in sent}


@pytest.mark.timeout(200)
def test_ten_letters_by_fax_the_next_by_mail_and_the_ten_again_as_copies(tmp_path: Path) -> None:
    with Stage(tmp_path / "stage") as stage:
        for number in range(10):
            send_until_acknowledged(stage, letter(number))
        wait_until("ten faxes", lambda: all(states(stage, n) == {"fax": "delivered"} for n in range(10)))
        assert not stage.operator.received

        today = now().astimezone(ZoneInfo("Europe/Paris")).date().isoformat()
        assert tdu(stage, "directory", "equip", "gentilly", "--since", today).returncode == 0
        send_until_acknowledged(stage, letter(10))
        wait_until("the next by mail", lambda: states(stage, 10).get("mssante") == "accepted")
        assert "fax" not in {c for c, s in states(stage, 10).items() if s != "waiting"}

        night = tdu(stage, "sync", "--job", "upgrade", "--backfill-days", "2", "--json")
        assert night.returncode == 0, night.stderr
        assert json.loads(night.stdout)["jobs"]["upgrade"]["counts"]["copies"] == 10
        wait_until("ten copies", lambda: all(states(stage, n).get("mssante") == "accepted" for n in range(10)))
        again = tdu(stage, "sync", "--job", "upgrade", "--backfill-days", "2", "--json")
        assert json.loads(again.stdout)["jobs"]["upgrade"]["counts"]["copies"] == 0

        mails = [email.message_from_bytes(mail.content, policy=email.policy.default) for mail in stage.operator.received]
        copies = [mail for mail in mails if str(mail["Subject"]).endswith(" (copie)")]
        told = tdu(stage, "trace", "EQ000", "--entity", HOSPITAL).stdout
        faxes = list((stage.folder / "received" / "fax").glob("*.tiff"))
    assert len(mails) == 11 and len(copies) == 10
    assert len({str(mail["Message-ID"]) for mail in mails}) == 11
    assert len(faxes) == 10, "nothing was faxed twice"
    assert "copied" in told and f"fax → mssante, equipped since {today}" in told
    assert "fax → role:specimen-gentilly: delivered" in told and "mssante → role:specimen-gentilly: accepted" in told
