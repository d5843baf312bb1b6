"""Values as they are typed on the command line."""

from __future__ import annotations

import re


def typed(value: object) -> str:
    """A value as Hydra's grammar reads it; text that it would misread is quoted."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{','.join(typed(item) for item in value)}]"
    text = str(value)
    if isinstance(value, str) and not re.fullmatch(r"[\w./+@-]+", text):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return text
