"""Foreign text on a terminal."""

from __future__ import annotations

# What models, tools and sandboxes print must not drive the terminal, nor have what is asked read in
# another order than it stands (UAX 9: marks, embeddings, overrides and isolates).
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CODES = (*range(32), *range(0x7F, 0xA0), *_DIRECTIONS)
_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in _CODES if chr(code) not in "\n\t"}


def clean(text: str) -> str:
    """``text`` without control characters: nothing that moves the cursor, paints, or turns the
    direction of what follows."""
    return text.translate(_CONTROLS)


def short(text: str, length: int = 160) -> str:
    """``text`` on one line of at most ``length`` characters."""
    line = clean(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 1] + "…"
