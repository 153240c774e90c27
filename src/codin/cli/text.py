"""Foreign text on a terminal."""

from __future__ import annotations

# What models, tools and sandboxes print must not drive the terminal.
_CONTROLS = {code: "�" for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def clean(text: str) -> str:
    """``text`` without control characters: nothing that moves the cursor or paints."""
    return text.translate(_CONTROLS)


def short(text: str, length: int = 160) -> str:
    """``text`` on one line of at most ``length`` characters."""
    line = clean(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 1] + "…"
