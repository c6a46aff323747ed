"""Who reads each kind of content, told of the directory where a source's meaning depends on it: pathway and delays of forms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from adapter.mapping.from_form import understand_form
from adapter.mapping.kinds import READERS, Understand
from adapter.model.receipt import ContentKind
from adapter.model.request import Asked, Terms
from adapter.routing.directory import Directory
from adapter.routing.terms import terms_of


def readers_with(directory: Callable[[], Directory]) -> dict[ContentKind, Understand]:
    """The registry of readers, forms asking the directory in force when they are read."""

    def ask(asked: Asked) -> Terms:
        return terms_of(directory(), asked)

    return {**READERS, ContentKind.FORM: partial(understand_form, terms_of=ask)}
