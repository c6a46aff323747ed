"""HL7 v2 cut on its own bytes: nothing lost, nothing guessed in silence."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from adapter.errors import InputError
from adapter.formats.hl7v2 import Message, encode_escapes, read_message

_MSH = "MSH|^~\\&|A|B|C|D|20260101||MDM^T02^MDM_T02|42|P|2.6|||||FRA|{charset}\r"


def _message(rest: str = "", charset: str = "UNICODE UTF-8", codec: str = "utf-8") -> Message:
    return read_message((_MSH.format(charset=charset) + rest).encode(codec))


def _codes(message: Message) -> list[str]:
    return [finding.code for finding in message.findings]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\n\n", "\r\r", " \n"])
def test_the_bytes_written_back_are_those_read_whatever_the_line_ends(end: str, tail: str) -> None:
    content = (
        _MSH.format(charset="UNICODE UTF-8").replace("\r", end) + f"PID|||1^2&3~4||Zoé|||{end}ZZZ|\\X41\\|{end}" + tail
    ).encode()
    message = read_message(content)
    assert message.encode() == content
    assert [segment.name for segment in message.segments()] == ["MSH", "PID", "ZZZ"]


def test_segments_that_end_with_line_feeds_are_read_and_told() -> None:
    message = read_message(b"MSH|^~\\&|A\nPID|||1\n")
    assert message.value("PID", 3) == "1"
    assert _codes(message) == ["hl7.line-feeds"]


def test_a_line_feed_inside_a_segment_is_content_where_segments_end_with_cr() -> None:
    message = _message("NTE|1||first\nsecond\rPID|||7\r")
    assert message.value("NTE", 3) == "first\nsecond"
    assert message.value("PID", 3) == "7"


def test_msh_fields_are_counted_from_the_separator() -> None:
    message = _message()
    msh = message.segments()[0]
    assert (msh.value(1), msh.value(2), msh.value(3), msh.value(9, 2), msh.value(18)) == (
        "|",
        "^~\\&",
        "A",
        "T02",
        "UNICODE UTF-8",
    )


def test_values_are_found_by_repetition_component_and_subcomponent() -> None:
    pid = _message("PID|||1^^^X&1.2&ISO^INS~2^^^Y&3.4&ISO^PI\r").segments("PID")[0]
    assert pid.repetitions(3) == 2
    assert pid.value(3, 4, repetition=2, subcomponent=2) == "3.4"
    assert pid.value(3, 1, repetition=2) == "2"


@pytest.mark.parametrize("place", [(99, 1, 1, 1), (3, 9, 1, 1), (3, 1, 9, 1), (3, 1, 1, 9), (0, 1, 1, 1)])
def test_what_is_not_there_is_empty(place: tuple[int, int, int, int]) -> None:
    field, component, repetition, subcomponent = place
    assert _message("PID|||1\r").segments("PID")[0].value(field, component, repetition, subcomponent) == ""


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("\\F\\", "|"),
        ("\\S\\", "^"),
        ("\\T\\", "&"),
        ("\\R\\", "~"),
        ("\\E\\", "\\"),
        ("a\\X0D0A\\b", "a\r\nb"),
        ("\\XC3A9\\", "é"),
        ("un\\.br\\deux", "un\ndeux"),
        ("\\H\\gras\\N\\", "gras"),
        ("\\Zxx\\y", "\\Zxx\\y"),
        ("\\XFF\\", "\\XFF\\"),
        ("50 \\ 60", "50 \\ 60"),
        ("a\\", "a\\"),
        ("\\E\\F\\E\\", "\\F\\"),
    ],
)
def test_escapes_become_signs_and_the_unknown_stays(written: str, read: str) -> None:
    assert _message(f"NTE|1||{written}\r").value("NTE", 3) == read


@pytest.mark.parametrize("text", ["a|b^c&d~e\\f", "un\ndeux", "\x0b\x1c\r", "\\F\\", "é€"])
def test_what_is_escaped_for_writing_reads_back(text: str) -> None:
    assert _message(f"NTE|1||{encode_escapes(text)}\r").value("NTE", 3) == text


def test_the_message_names_its_own_separators_even_a_tilde_that_is_no_ascii() -> None:
    message = read_message("MSH|^˜\\&|A|||||||||||||||UNICODE UTF-8\rPID|||1˜2^3\r".encode())
    pid = message.segments("PID")[0]
    assert message.separators.repetition == "˜"
    assert (pid.repetitions(3), pid.value(3, 2, repetition=2)) == (2, "3")
    assert message.findings == ()


@pytest.mark.parametrize("msh", ["MSH|", "MSH||A", "MSH|^^^^|A", "MSH|^~|A", "MSH|abcd|A", "MSH|^~\\||A"])
def test_separators_that_cannot_cut_are_replaced_by_the_usual_ones_and_told(msh: str) -> None:
    message = read_message(f"{msh}\rPID|||1^2\r".encode())
    assert message.value("PID", 3, 2) == "2"
    assert _codes(message) == ["hl7.separators"]


@pytest.mark.parametrize(
    ("label", "codec", "read_as", "codes"),
    [
        ("UNICODE UTF-8", "utf-8", "utf-8", []),
        ("8859/15", "iso8859-15", "iso8859-15", []),
        ("8859/1", "iso8859-1", "iso8859-1", []),
        ("", "utf-8", "utf-8", []),
        ("UNICODE UTF-8", "iso8859-15", "iso8859-15", ["hl7.charset-wrong"]),
        ("8859/1", "utf-8", "utf-8", ["hl7.charset-wrong"]),
        ("8859/15", "cp1252", "cp1252", ["hl7.charset-wrong"]),
        ("ASCII", "iso8859-15", "iso8859-15", ["hl7.charset-wrong"]),
        ("KLINGON", "utf-8", "utf-8", ["hl7.charset-unknown"]),
        ("KLINGON", "iso8859-15", "iso8859-15", ["hl7.charset-unknown", "hl7.charset-wrong"]),
    ],
)
def test_accents_survive_right_and_wrong_labels(label: str, codec: str, read_as: str, codes: list[str]) -> None:
    # An œ and a curly quote where the set has them: Windows text shows itself by bytes that ISO 8859 leaves to controls.
    name = "LECŒUR d’Été" if codec in ("utf-8", "cp1252") else "LEFÈVRE d'Été"
    message = _message(f"PID|||||{name}\r", charset=label, codec=codec)
    assert message.value("PID", 5) == name
    assert message.codec == read_as
    assert _codes(message) == codes


def test_no_character_is_ever_replaced_in_silence() -> None:
    message = read_message(b"MSH|^~\\&|||||||||||||||||UNICODE UTF-8\rPID|||||\x81\x8d\xff\r")
    assert "\ufffd" not in message.value("PID", 5)
    assert "?" not in message.value("PID", 5)
    assert _codes(message) == ["hl7.charset-wrong"]


@pytest.mark.parametrize("content", [b"", b"MSH", b"PID|1", b"\x00MSH|", b"<xml/>", b"\xef\xbb\xbf", b"MSHx^~\\&|", b"MS|H"])
def test_what_is_no_message_is_refused_with_our_error(content: bytes) -> None:
    with pytest.raises(InputError) as refused:
        read_message(content)
    assert refused.value.code == "hl7.not-hl7"


def test_a_line_that_is_no_segment_is_kept_and_has_no_name() -> None:
    message = _message("garbage\rPIDX|1\rpid|1\r")
    assert [s.name for s in message.segments()] == ["MSH", "", "", ""]
    assert message.segments()[1].place == "line[2]"


def test_segments_of_one_name_are_numbered() -> None:
    message = _message("OBX|1\rNTE|1\rOBX|2\r")
    assert [s.place for s in message.segments()] == ["MSH", "OBX[1]", "NTE", "OBX[2]"]


def test_leaves_are_all_values_that_are_not_empty() -> None:
    pid = _message("PID|||1^^&x~2|||\r").segments("PID")[0]
    assert list(pid.leaves()) == [(3, 1, 1, 1), (3, 1, 3, 2), (3, 2, 1, 1)]


def test_a_message_never_shows_its_content() -> None:
    message = _message("PID|||||DURAND-EXEMPLE\r")
    assert "DURAND" not in repr(message) + str(message) + repr(message.segments("PID")[0])


def test_a_twenty_megabyte_payload_is_cut_in_linear_time_and_few_copies() -> None:
    payload = b"QUJD" * 5_000_000
    content = b"MSH|^~\\&|A|||||||||||||||UNICODE UTF-8\rOBX|1|ED|x^\xc3\xa9||^text^XML^Base64^" + payload + b"||||||F\r"
    tracemalloc.start()
    start = time.perf_counter()
    message = read_message(content)
    taken = message.segments("OBX")[0].data(5, 5)
    elapsed = time.perf_counter() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken == payload
    assert message.value("OBX", 11) == "F"
    assert elapsed < 2
    assert peak < 6 * len(content)


def test_twenty_thousand_small_messages_a_second_are_cut() -> None:
    content = (_MSH.format(charset="UNICODE UTF-8") + "OBX|1|CWE|DESTDMP^Destinataire^MetaDMPMSS||Y||||||F\r" * 30).encode()
    start = time.perf_counter()
    for _ in range(2000):
        read_message(content)
    # The target is 20,000 a second; a busy test machine is given four times as long.
    assert 2000 / (time.perf_counter() - start) > 5000
