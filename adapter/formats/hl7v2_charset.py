"""Finds the character set that really reads a message: MSH-18 when it tells the truth, else the likeliest, and says so.

Sources: HL7 table 0211; CI-SIS volet 2.1 (`UNICODE UTF-8` or `8859/15`). Never a replacement character: what cannot be UTF-8
is read as an 8-bit set, in which every byte is a sign.
"""

from __future__ import annotations

from adapter.model.finding import Finding, Severity

# MSH-18 as met in France (table 0211, the volet's `8859/15`, and what senders really write) → Python codec.
CHARSETS = {
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "8859/1": "iso8859-1",
    "8859/15": "iso8859-15",
    "ISO-8859-1": "iso8859-1",
    "ISO8859-1": "iso8859-1",
    "ISO-8859-15": "iso8859-15",
    "ISO8859-15": "iso8859-15",
    "WINDOWS-1252": "cp1252",
    "CP1252": "cp1252",
    "ASCII": "ascii",
}
_C1 = bytes(range(0x80, 0xA0))


def choose_codec(label: str, default: str, odd: list[bytes]) -> tuple[str, tuple[Finding, ...]]:
    """The codec that really reads the lines that are not plain ASCII; a wrong label is told, never hidden by `?` signs."""
    wanted = CHARSETS.get(label.upper(), "")
    findings: tuple[Finding, ...] = ()
    if label and not wanted:
        findings = (_warning("hl7.charset-unknown", "MSH-18 names a character set that is not known here."),)
    wanted = wanted or default
    if not odd:
        return wanted, findings
    real = _real_codec(wanted, odd)
    if real != wanted and not (wanted == "ascii" and not label):
        findings += (_warning("hl7.charset-wrong", "The text is not in the character set that MSH-18 names."),)
    return real, findings


def _real_codec(wanted: str, odd: list[bytes]) -> str:
    # Accented 8-bit text is practically never valid UTF-8 by chance, so UTF-8 that reads is UTF-8.
    if _reads(odd, "utf-8"):
        return "utf-8"
    # Bytes 0x80–0x9F are letters and quotes in Windows text and control codes in ISO 8859.
    if any(len(line.translate(None, _C1)) != len(line) for line in odd) and _reads(odd, "cp1252"):
        return "cp1252"
    return wanted if wanted.startswith(("iso8859", "cp")) and _reads(odd, wanted) else "iso8859-15"


def _reads(lines: list[bytes], codec: str) -> bool:
    try:
        for line in lines:
            line.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _warning(code: str, text: str) -> Finding:
    return Finding(Severity.WARNING, code, text, "MSH-18", hl7_code="103")
