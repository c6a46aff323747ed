"""What a site does with forms: list them, print them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapter.mapping.forms.questionnaire import form_slugs, questionnaire_resource
from adapter.packaging.sheet.pdf_form import print_form


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    forms = typer.Typer(help="The forms of this instance: list and print.", no_args_is_help=True, rich_markup_mode=None)
    forms.command("list")(list_forms)
    forms.command("print")(print_one)
    app.add_typer(forms, name="form")


def list_forms() -> None:
    """List the forms: slug, version, title.

    Example: tdu form list
    """
    for slug in form_slugs():
        form = questionnaire_resource(slug)
        typer.echo(f"{slug:<32} {form['version']:<8} {form['title']}")


def print_one(
    slug: Annotated[str, typer.Argument(help="The form (tdu form list).")],
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; left out: SLUG-VERSION.pdf here.")] = None,
) -> None:
    """Make the fillable PDF of a form: to fill on a screen or by hand, to send back filled (tdu translate, doors).

    Example: tdu form print demande-imagerie --out demande-imagerie.pdf
    """
    form = questionnaire_resource(slug)
    path = out or Path(f"{slug}-{form['version']}.pdf")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(print_form(form))
    typer.echo(f"{path}: {form['title']}, version {form['version']}")
