"""Each thing that HylaFAX or a T.30 engine says of a failed call has its cause; none is a permanent refusal by mistake.

The messages are those of HylaFAX 6's sources (with the numbers that it gives them) and of libspandsp.
"""

from __future__ import annotations

import pytest

from adapter.channels.fax_words import cause_reported, cause_said, rows_said
from adapter.tracking.causes import Reaction, load_causes

SAID = [
    (1, "Busy signal detected; too many attempts to dial", "line-busy"),
    (2, "No carrier detected", "no-fax-answer"),
    (3, "No answer from remote; too many attempts to dial", "no-fax-answer"),
    (4, "No local dialtone", "line-out-of-order"),
    (5, "Invalid dialing command", "line-out-of-order"),
    (6, "Unknown problem", "line-out-of-order"),
    (7, "Carrier established, but Phase A failure", "no-fax-there"),
    (8, "Data connection established (wanted fax)", "no-fax-there"),
    (9, "Glare - RING detected", "line-busy"),
    (103, "RSPREC error/got DCN (receiver abort)", "transmission-broken"),
    (104, "RSPREC invalid response received", "transmission-broken"),
    (116, "Failed to properly open control V.34 channel.", "transmission-broken"),
    (122, "Remote has no T.4 receiver capability", "fax-not-receiving"),
    (123, "DTC received when expecting DIS (not supported)", "transmission-broken"),
    (124, "COMREC error in transmit Phase B/got DCN", "transmission-broken"),
    (125, "COMREC invalid command received/no DIS or DTC", "transmission-broken"),
    (126, "No receiver protocol (T.30 T1 timeout)", "no-fax-there"),
    (127, "Stop and wait failure (modem on hook)", "line-out-of-order"),
    (128, "Remote fax disconnected prematurely", "transmission-broken"),
    (129, "Procedure interrupt (operator intervention)", "transmission-broken"),
    (130, "Unable to transmit page (giving up after RTN)", "transmission-broken"),
    (131, "Unable to transmit page (giving up after 3 attempts)", "transmission-broken"),
    (132, "Unable to transmit page (NAK at all possible signalling rates)", "transmission-broken"),
    (133, "Unable to transmit page (NAK with operator intervention)", "transmission-broken"),
    (134, "Fax protocol error (unknown frame received)", "transmission-broken"),
    (135, "Fax protocol error (command repeated 3 times)", "transmission-broken"),
    (136, "DIS/DTC received 3 times; DCS not recognized", "transmission-broken"),
    (137, "Failure to train remote modem at 2400 bps or minimum speed", "transmission-broken"),
    (138, "Receiver flow control exceeded timer.", "fax-not-receiving"),
    (139, "No response to RR repeated 3 times.", "fax-not-receiving"),
    (140, "COMREC invalid response received to RR.", "transmission-broken"),
    (141, "No response to CTC repeated 3 times.", "transmission-broken"),
    (142, "COMREC invalid response received to CTC.", "transmission-broken"),
    (143, "Failure to transmit clean ECM image data.", "transmission-broken"),
    (144, "No response to EOR repeated 3 times.", "transmission-broken"),
    (145, "COMREC invalid response received to EOR.", "transmission-broken"),
    (146, "COMREC invalid response received to PPS.", "transmission-broken"),
    (147, "No response to PPS repeated 3 times.; too many attempts to send", "transmission-broken"),
    (148, "Unable to establish message carrier", "transmission-broken"),
    (149, "Unspecified Transmit Phase C error", "transmission-broken"),
    (150, "No response to MPS repeated 3 tries", "transmission-broken"),
    (151, "No response to EOP repeated 3 tries", "last-page-unconfirmed"),
    (152, "No response to EOM repeated 3 tries", "transmission-broken"),
    (153, "No response to PPM repeated 3 tries", "transmission-broken"),
    (204, "Unable to send password (modem command failed)", "transmission-broken"),
    (208, "Unable to set session parameters", "transmission-broken"),
    (210, "Unknown hangup code", "transmission-broken"),
    (212, "Ring detect without successful handshake", "no-fax-there"),
    (213, "Call aborted,  from +FK or <CAN>", "fax-removed"),
    (214, "No loop current", "line-out-of-order"),
    (215, "Ringback detected, no answer (timeout)", "no-fax-answer"),
    (216, "Ringback detected, no answer without CED", "no-fax-answer"),
    (217, "Unspecified Phase A error", "no-fax-there"),
    (218, "No answer (T.30 T1 timeout)", "no-fax-answer"),
    (219, "Unspecified Transmit Phase B error", "transmission-broken"),
    (224, "DCS sent 3 times without response", "transmission-broken"),
    (226, "Failure to train at 2400 bps or +FMINSP value", "transmission-broken"),
    (229, "Unspecified Image format error", "rendition-impossible"),
    (230, "Image conversion error", "rendition-impossible"),
    (231, "DTE to DCE data underflow", "transmission-broken"),
    (233, "Image error, line length wrong", "rendition-impossible"),
    (236, "Unspecified Transmit Phase D error, including +FPHCTO timeout between data and +FET", "transmission-broken"),
    (238, "No response to MPS repeated 3 times", "transmission-broken"),
    (240, "No response to EOP repeated 3 times", "last-page-unconfirmed"),
    (241, "Invalid response to EOP", "last-page-unconfirmed"),
    (244, "Unable to continue after PIN or PIP", "transmission-broken"),
    (259, "Cannot send: +FMINSP > remote's +FDIS(BR) code", "transmission-broken"),
    (261, "Remote station cannot receive (DIS bit 10)", "fax-not-receiving"),
    (262, "+FK aborted or <CAN> aborted", "fax-removed"),
    (263, "+Format conversion error in +FDT=DF,VR, WD,LN Incompatible and inconvertable data format", "rendition-impossible"),
    (264, "Remote cannot receive", "fax-not-receiving"),
    (280, "Procedure interrupt (operator intervention)", "transmission-broken"),
    (286, "Batching protocol error", "transmission-broken"),
    (287, "Communication failure during Phase B/C", "transmission-broken"),
    (302, "Problem reading document directory", "fax-server-fault"),
    (303, 'Internal botch; MPS post-page handling string "X"', "fax-server-fault"),
    (314, "Document preparation failed: x", "fax-server-fault"),
    (314, "Can not open document file docq/doc1.tif", "fax-server-fault"),
    (316, "Error reading directory 2 in document file docq/doc1.tif", "fax-server-fault"),
    (317, "Too many pages in submission; max 2", "too-large"),
    (318, "Unable to lock shared document file", "fax-server-fault"),
    (320, "Unable to create document file", "fax-server-fault"),
    (321, "Converted document is not valid TIFF", "fax-server-fault"),
    (323, "Job contains no documents", "fax-server-fault"),
    (324, "Modem does not support polling", "fax-server-fault"),
    (325, "Kill time expired", "fax-gave-up"),
    (326, "Invalid or corrupted job description file", "fax-server-fault"),
    (327, "REJECT: Unable to convert dial string to canonical format", "number-rejected"),
    (328, "REJECT: Requested modem ttyS9 is not registered", "fax-server-fault"),
    (329, "REJECT: No work found in job file", "fax-server-fault"),
    (330, "REJECT: Page width (0) appears invalid", "fax-server-fault"),
    (333, "REJECT: Too many attempts to dial: 3, max 3", "no-fax-answer"),
    (334, "REJECT: Too many attempts to transmit: 3, max 3", "transmission-broken"),
    (335, "REJECT: Too many pages in submission: 9, max 5", "too-large"),
    (337, "Blocked by concurrent calls", "line-busy"),
    (340, "Could not fork to prepare job for transmission", "fax-server-fault"),
    (343, "Send program terminated abnormally with exit status 0x100", "fax-server-fault"),
    (344, "Job interrupted by user", "fax-removed"),
    (345, "Job aborted by request", "fax-removed"),
    (345, "Call aborted by user", "fax-removed"),
    (346, "Can not lock modem device", "line-out-of-order"),
    (347, "Unexpected failure converting TIFF document; the command", "fax-server-fault"),
    (348, "REJECT: Do not fax this number", "number-rejected"),
    (352, "Send aborted due to operator intervention", "fax-removed"),
    (400, "Modem does not support negotiated signalling rate", "fax-server-fault"),
    (402, "Document is not in a Group 3 or Group 4 compatible format", "rendition-impossible"),
    (404, "Document was encoded with 2DMMR, but modem does not support this data format", "fax-server-fault"),
    (405, "Document was encoded with 2DMMR, but ECM is not being used.", "transmission-broken"),
    (414, "High resolution document is not supported by client, image resolution 7.71654 lines/mm", "fine-not-taken"),
    (415, "High resolution document is not supported by modem, image resolution 7.71654 lines/mm", "fine-not-taken"),
    (416, "Client does not support document page width, max remote page width 1216 pixels", "rendition-impossible"),
    (418, "Client does not support document page length, max remote page length 200 mm", "rendition-impossible"),
    (420, "Unable to configure modem for fax use", "line-out-of-order"),
    (422, "Can not setup modem", "line-out-of-order"),
    (903, "Can not set directory in document file", "fax-server-fault"),
    (907, "polling operation not done because of internal failure", "fax-server-fault"),
    (908, "Write error to file docq/x", "fax-server-fault"),
    ("T.30", "Unknown phone number", "no-such-number"),
    ("T.30", "The CED tone exceeded 5s", "no-fax-there"),
    ("T.30", "Timed out waiting for initial communication", "no-fax-answer"),
    ("T.30", "Timed out waiting for the first message", "no-fax-there"),
    ("T.30", "Failed to train with any of the compatible modems", "transmission-broken"),
    ("T.30", "Far end is not compatible", "transmission-broken"),
    ("T.30", "Far end is not able to receive", "fax-not-receiving"),
    ("T.30", "Far end cannot receive at the resolution of the image", "fine-not-taken"),
    ("T.30", "Far end cannot receive at the size of image", "rendition-impossible"),
    ("T.30", "Received a DCN from remote after sending a page", "transmission-broken"),
    ("T.30", "Invalid response after sending a page", "last-page-unconfirmed"),
    ("T.30", "No response after sending a page", "last-page-unconfirmed"),
    ("T.30", "Timed out waiting for receiver ready (ECM mode)", "fax-not-receiving"),
    ("T.30", "The call dropped prematurely", "transmission-broken"),
    ("T.30", "TIFF/F page not found", "rendition-impossible"),
    ("", "", "transmission-broken"),
    ("", "words of an engine that nobody has read yet", "transmission-broken"),
]
# Only these ask a person at once: somebody removed the job, or no other try could change anything.
PERMANENT = {"fax-removed", "number-rejected", "no-such-number", "rendition-impossible", "too-large"}


@pytest.mark.parametrize(("number", "said", "cause"), SAID)
def test_what_an_engine_says_has_its_cause(number: int | str, said: str, cause: str) -> None:
    assert cause_said(said) == cause


def test_every_row_is_reached_by_something_that_an_engine_says() -> None:
    reached = {next((words for words, _ in rows_said() if words in said.lower()), "") for _, said, _ in SAID}
    assert {words for words, _ in rows_said()} <= reached


def test_what_may_pass_by_itself_is_tried_again_and_nothing_else_refuses_for_good() -> None:
    rules = load_causes()
    for cause in {cause for _, _, cause in SAID}:
        expected = cause not in PERMANENT
        assert (rules[cause].reaction is Reaction.RETRY) is expected, cause


def test_a_report_gives_a_code_or_an_engine_s_words() -> None:
    assert (cause_reported("line-busy"), cause_reported("Busy signal detected")) == ("line-busy", "line-busy")
    assert cause_reported("paper-eaten") == "transmission-broken"
