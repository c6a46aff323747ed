"""libspandsp by ctypes: the signatures that the soft modems and the fax machines of the tests use, and one such machine."""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FRAME_SAMPLES = 160
FRAME_SECONDS = 0.02
Sound = ctypes.c_int16 * FRAME_SAMPLES

# Bits of spandsp's t30_set_supported_…: modems by their best rate, compressions, resolutions, sizes (A4, of any length).
MODEMS = {4800: 1, 9600: 3, 14400: 7}
_COMPRESSIONS = 0x02 | 0x04 | 0x08
_STANDARD, _FINE = 0x1 | 0x20000, 0x2
_A4 = 0x1 | 0x10000 | 0x20000
_FRAME_TYPE = 0xFF

_TRANSMIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t)
_CONTROL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_PAGE_ENDED = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
_CALL_ENDED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
TRANSMIT, CONTROL = _TRANSMIT, _CONTROL


class _Statistics(ctypes.Structure):
    """t30_stats_t of spandsp 0.0.6."""

    _fields_ = [
        (name, ctypes.c_int)
        for name in (
            *("bit_rate", "with_ecm", "pages_sent", "pages_received", "pages_in_file", "across", "down", "width", "rows", "size"),
            *("encoding", "bad_rows", "longest_bad_run", "ecm_retries", "status"),
        )
    ]


@cache
def load_spandsp() -> Any:
    """The library with the signatures that we use; OSError when it is not installed."""
    library = ctypes.CDLL(ctypes.util.find_library("spandsp") or "libspandsp.so.2")
    pointer, text, whole = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    library.t31_init.restype = library.fax_init.restype = library.fax_get_t30_state.restype = pointer
    library.t30_completion_code_to_str.restype = library.t30_frametype.restype = text
    arguments = {
        "t31_init": (pointer, _TRANSMIT, pointer, _CONTROL, pointer, pointer, pointer),
        "t31_at_rx": (pointer, text, whole),
        "t31_call_event": (pointer, whole),
        "t31_rx": (pointer, pointer, whole),
        "t31_tx": (pointer, pointer, whole),
        "t31_set_transmit_on_idle": (pointer, whole),
        "fax_init": (pointer, whole),
        "fax_free": (pointer,),
        "fax_get_t30_state": (pointer,),
        "fax_rx": (pointer, pointer, whole),
        "fax_tx": (pointer, pointer, whole),
        "fax_set_transmit_on_idle": (pointer, whole),
        "t30_terminate": (pointer,),
        "t30_set_tx_file": (pointer, text, whole, whole),
        "t30_set_rx_file": (pointer, text, whole),
        "t30_set_tx_ident": (pointer, text),
        "t30_set_phase_d_handler": (pointer, _PAGE_ENDED, pointer),
        "t30_set_phase_e_handler": (pointer, _CALL_ENDED, pointer),
        "t30_get_transfer_statistics": (pointer, ctypes.POINTER(_Statistics)),
        "t30_set_ecm_capability": (pointer, whole),
        "t30_set_supported_modems": (pointer, whole),
        "t30_set_supported_compressions": (pointer, whole),
        "t30_set_supported_resolutions": (pointer, whole),
        "t30_set_supported_image_sizes": (pointer, whole),
        "t30_set_receiver_not_ready": (pointer, whole),
    }
    for name, types in arguments.items():
        getattr(library, name).argtypes = types
    return library


@dataclass(frozen=True)
class Ability:
    """What a fax machine can do. Without paper it says "not ready" after each page and never confirms one."""

    with_ecm: bool = True
    takes_fine: bool = True
    best_rate: int = 14400
    has_paper: bool = True


@dataclass(frozen=True)
class PageResult:
    """What a machine noted of one page: its verdict (`MCF`, `RTN`, `PPR`…), at which rate, and what the line spoilt."""

    verdict: str
    bits_a_second: int
    with_ecm: bool
    rows: int
    bad_rows: int
    ecm_retries: int


class FaxMachine:
    """One T.30 terminal: sends the TIFF `sends`, or receives into `receives`. It hears and speaks frames of sound."""

    def __init__(self, number: str, ability: Ability, *, sends: Path | None = None, receives: Path | None = None) -> None:
        library = load_spandsp()
        self._library = library
        self.pages: list[PageResult] = []
        self.code: int | None = None
        self.sound = Sound()
        self._state = library.fax_init(None, int(sends is not None))
        self._t30 = library.fax_get_t30_state(self._state)
        library.fax_set_transmit_on_idle(self._state, 1)
        library.t30_set_tx_ident(self._t30, number.encode())
        library.t30_set_ecm_capability(self._t30, int(ability.with_ecm))
        library.t30_set_supported_modems(self._t30, MODEMS[ability.best_rate])
        library.t30_set_supported_compressions(self._t30, _COMPRESSIONS)
        library.t30_set_supported_resolutions(self._t30, _STANDARD | (_FINE if ability.takes_fine else 0))
        library.t30_set_supported_image_sizes(self._t30, _A4)
        if not ability.has_paper:
            library.t30_set_receiver_not_ready(self._t30, 1_000_000)
        self._handlers = _PAGE_ENDED(self._note_page), _CALL_ENDED(self._note_end)
        library.t30_set_phase_d_handler(self._t30, self._handlers[0], None)
        library.t30_set_phase_e_handler(self._t30, self._handlers[1], None)
        if sends is not None:
            library.t30_set_tx_file(self._t30, str(sends).encode(), -1, -1)
        if receives is not None:
            library.t30_set_rx_file(self._t30, str(receives).encode(), -1)

    @property
    def has_ended(self) -> bool:
        """True when the machine holds the call to be over."""
        return self.code is not None

    @property
    def said(self) -> str:
        """How the call ended, in spandsp's words; empty while it lasts."""
        return "" if self.code is None else str(self._library.t30_completion_code_to_str(self.code).decode())

    def statistics(self) -> Any:
        """Figures of the call so far."""
        figures = _Statistics()
        self._library.t30_get_transfer_statistics(self._t30, ctypes.byref(figures))
        return figures

    def speak(self) -> Any:
        """The next frame; silence where the machine says nothing."""
        said = self._library.fax_tx(self._state, self.sound, FRAME_SAMPLES)
        for place in range(said, FRAME_SAMPLES):
            self.sound[place] = 0
        return self.sound

    def hear(self, sound: Any) -> None:
        """The other end's frame."""
        self._library.fax_rx(self._state, sound, FRAME_SAMPLES)

    def hang_up(self) -> None:
        """The line is cut, or the other end has gone; the file is closed."""
        self._library.t30_terminate(self._t30)

    def close(self) -> None:
        """Give the memory back."""
        if self._state:
            self._library.fax_free(self._state)
            self._state = None

    def _note_page(self, _state: Any, _user: Any, result: int) -> int:
        figures = self.statistics()
        verdict = self._library.t30_frametype(result & _FRAME_TYPE).decode()
        noted = (figures.bit_rate, bool(figures.with_ecm), figures.rows, figures.bad_rows, figures.ecm_retries)
        self.pages.append(PageResult(verdict, *noted))
        return 0

    def _note_end(self, _state: Any, _user: Any, code: int) -> None:
        self.code = code
