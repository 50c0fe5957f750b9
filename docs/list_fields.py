"""Writes the tables of request fields in api.md from the code.

python docs/list_fields.py            rewrite the section
python docs/list_fields.py --check    exit 1 if it is not up to date
"""

from __future__ import annotations

import sys
from pathlib import Path

from dovetail.serve.api.field_table import ENDPOINTS, fields_of

PAGE = Path(__file__).resolve().parent / "api.md"
HEADING = "## Request fields\n"


def section() -> str:
    """One table for each endpoint."""
    lines = [HEADING]
    for endpoint in ENDPOINTS:
        lines.append(f"\n### POST {endpoint}\n\n| field | | |\n|---|---|---|\n")
        lines += [f"| `{field.name}` | {field.handling} | {field.note} |\n" for field in fields_of(endpoint)]
    return "".join(lines)


def main() -> int:
    """Rewrite or check the page."""
    page = PAGE.read_text(encoding="utf-8")
    wanted = page[: page.index(HEADING)] + section()
    if "--check" in sys.argv:
        return int(page != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
