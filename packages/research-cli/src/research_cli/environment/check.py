"""The result of one check: a row of `research-cli env`."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One row of `research-cli env`, its texts on one line each.

    found: what this machine has. needs: what the workspace asks for.
    fix: what to do about it; empty when ok.
    """

    name: str
    status: Status
    found: str
    needs: str
    fix: str = ""
