"""Writes the tables of request fields in api.md from the code.

python docs/generators/list_fields.py            rewrite the section
python docs/generators/list_fields.py --check    exit 1 if it is not up to date
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from generated import cell, keep_section

from dovetail.serve.api.field_table import ENDPOINTS, Field, fields_of

HEADING = "## Request fields\n"


def section() -> str:
    """One table for each endpoint."""
    lines = [HEADING]
    for endpoint in ENDPOINTS:
        lines.append(f"\n### POST {endpoint}\n\n| field | | |\n|---|---|---|\n")
        fields = fields_of(endpoint)
        refused = [field for field in fields if field.handling == "refused"]
        lines += [_row([field]) for field in fields if field.handling == "served"]
        lines += [_row(refused)] if refused else []
        lines += [_row([field]) for field in fields if field.handling == "ignored"]
    return "".join(lines)


def _row(fields: Sequence[Field]) -> str:
    """Fields of one handling and one note."""
    names = ", ".join(f"`{field.name}`" for field in fields)
    return f"| {names} | {fields[0].handling} | {cell(fields[0].note)} |\n"


if __name__ == "__main__":
    sys.exit(keep_section("api.md", section()))
