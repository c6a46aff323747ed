"""An invented patient whose every datum is unmistakable: found anywhere it should not be, it is a leak.

`PRIVATE_WORDS` are the words to look for; each also as UTF-16, Base64 and JSON escapes would write it (`spellings`).
"""

from __future__ import annotations

import base64
from typing import Any

from tests.builders.cda import AUTHOR, SamplePatient, SamplePro, build_ldl_ses, build_n1, matricule, tiny_pdf
from tests.builders.form import build_imaging_request

INS = matricule("2990199137731")
PATIENT = SamplePatient(
    birth_name="ZZPRIVATE-NAISSANCE",
    first_given="ZZPRIVATEPRENOM",
    birth_given_names="ZZPRIVATEPRENOM ZZPRIVATEDEUX",
    used_name="ZZPRIVATE-USAGE",
    birth_date="19990131",
    ins=INS,
    ipp="7731900731",
)
# The street, the mailbox and the narrative of the sample documents, made unmistakable too.
_CLINICAL = (
    (b"rue de l'Essai", b"rue ZZPRIVATE-RUE"),
    (b"camille.exemple@example.org", b"zzprivate.boite@example.org"),
    (b"tel:0100000009", b"tel:0100007731"),
    (b"tel:0600000009", b"tel:0600007731"),
)
PRIVATE_WORDS = ("ZZPRIVATE", INS, "7731900731", "0100007731", "0600007731", "01 00 00 77 31", "zzprivate")


def private_n1(document_id: str, **changes: Any) -> bytes:
    """A level 1 document about the private patient; each its own id."""
    pdf = tiny_pdf("ZZPRIVATE-PAGE")
    return _made_private(build_n1(**_particulars(document_id) | {"title": "ZZPRIVATE-TITRE", "pdf": pdf} | changes))


def private_ldl(document_id: str, **changes: Any) -> bytes:
    """A whole discharge letter about the private patient."""
    content = build_ldl_ses(**_particulars(document_id) | changes)
    return _made_private(content.replace(b"</text>", b"<paragraph>ZZPRIVATE-RECIT</paragraph></text>", 1))


def private_form(**changes: Any) -> dict[str, Any]:
    """An imaging request about the private patient."""
    answers = {
        "patient.nom": "ZZPRIVATE-NAISSANCE",
        "patient.prenom": "ZZPRIVATEPRENOM",
        "patient.telephone": "01 00 00 77 31",
        "patient.ins": INS,
        "patient.ins-oid": "TEST",
        "demande.but": "ZZPRIVATE-MOTIF : douleurs.",
    }
    return build_imaging_request(**answers | changes)


def spellings(word: str) -> frozenset[bytes]:
    """How a word may be written in a file."""
    plain = word.encode()
    shifted = {base64.b64encode(b"x" * pad + plain)[4 if pad else 0 : -4] for pad in range(3)}
    return frozenset({plain, word.encode("utf-16-le"), *(piece for piece in shifted if len(piece) >= 8)})


def _particulars(document_id: str) -> dict[str, Any]:
    author: SamplePro = AUTHOR
    return {"patient": PATIENT, "author": author, "document_id": document_id, "set_id": f"{document_id}.0"}


def _made_private(content: bytes) -> bytes:
    for old, new in _CLINICAL:
        content = content.replace(old, new)
    return content
