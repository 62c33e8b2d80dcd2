"""What `doctor` found: for people, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from hpmkd_edge.doctor import SCHEMA, Check, State, exit_code_of

SYMBOLS: Final[dict[State, str]] = {"ok": "✓", "warning": "!", "missing": "✗"}


def checks_as_json(checks: tuple[Check, ...]) -> dict[str, Any]:
    """Return all checks, and the exit code of all of them together."""
    return {"schema": SCHEMA, "exit_code": exit_code_of(checks), "checks": [asdict(check) for check in checks]}


def checks_as_lines(checks: tuple[Check, ...]) -> list[str]:
    """Return a line for each check, one more for what to do, and what follows from all of them."""
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{SYMBOLS[check.state]} {check.state:<7}  {check.name:<{width}}  {check.found}")
        if check.advice is not None:
            lines.append(f"{'':<{width + 13}}→ {check.advice}")
    lacking = [check.name for check in checks if check.needed and check.state == "missing"]
    if lacking:
        return [*lines, f"No run can begin: {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing."]
    return [*lines, "compress can run here."]
