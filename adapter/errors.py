"""The error tree: what stops, what parks, what a door refuses. Codes are stable, texts hold no patient datum.

TduError                     anything of ours; `code` is stable, `where` and `remedy` help the reader
├── ConfigurationError       the operator must change a file (exit 2)
├── InputError               what came in is bad: a door refuses it in its protocol's own form
├── MappingError             a mapping rule is wrong: the document parks
├── UnavailableError         something we need cannot be read now: a door says "later", nothing is kept
├── RenditionError           a document cannot be given the form a channel needs: the leg parks
├── LedgerError              the durable truth cannot be written or read: the lane stops and starts again
│   ├── StaleClaimError      another worker holds this row now: drop the work, write nothing
│   ├── StalePlanError       the patient's identity changed since the route was chosen: choose it again
│   └── IllegalTransitionError  a state change that the table does not allow: a defect of ours
└── VaultError               no key, a wrong key or a damaged payload: the service does not start
"""

from __future__ import annotations


class TduError(Exception):
    """Base of every error raised on purpose.

    `code` is a stable dotted word for programs, `where` names the place (a field, a file, a setting, an id),
    `remedy` says what to do next. None of them ever holds patient content: they reach logs.
    """

    def __init__(self, code: str, message: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        """Whole over the line between two processes, where `args` alone would not make it again."""
        return _made_again, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        end = "" if not self.remedy else " " if self.message.endswith((".", "?", "!")) else ". "
        return f"{self.code}{place}: {self.message}{end}{self.remedy}"


def _made_again(kind: type[TduError], args: tuple[object, ...], state: dict[str, object]) -> TduError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigurationError(TduError):
    """A setting, partners file or key file is missing or wrong."""


class InputError(TduError):
    """What came in cannot be taken; doors turn it into ACK/ERR, OperationOutcome or an error file."""


class MappingError(TduError):
    """A mapping file is wrong or asks for a transform that does not exist."""


class UnavailableError(TduError):
    """Something of ours cannot be read now: the same request may succeed later."""


class RenditionError(TduError):
    """The form that a channel needs cannot be made from this document."""


class LedgerError(TduError):
    """The ledger could not be read or written."""


class StaleClaimError(LedgerError):
    """The claim on this row was lost (its lease ran out): whoever holds it now goes on."""


class StalePlanError(LedgerError):
    """The patient index changed between the choice of a route and its commit: nothing was written, choose again."""


class IllegalTransitionError(LedgerError):
    """The transition table does not allow this change of state."""


class VaultError(TduError):
    """The payload key is missing, wrong, or the payload was altered."""
