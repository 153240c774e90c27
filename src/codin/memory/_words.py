"""Texts and questions as SQLite's FTS5 is given them, and Postgres."""

from __future__ import annotations

import re
import unicodedata

# Its own words end where the tokenizer's do, so that a mark before each is part of it.
_WORD = re.compile(r"[^\W_]+")
_ACCENT = re.compile("[\u0300-\u036f]")
_QUERY_CHARS = 1_000
_QUERY_WORDS = 32

TOKENIZER = "tokenize='porter unicode61 remove_diacritics 2'"


def marked_text(text: str, mark: str = "") -> str:
    """The words of ``text``, each with ``mark`` before it.

    A mark is of digits and consonants, which leave the stem of a word as it is. Words with another
    mark are other words: how often and where they are weighs nothing.
    """
    return " ".join(mark + word for word in _words(text))


def phrases(query: str, mark: str = "") -> list[str]:
    """The words of ``query`` as FTS5 looks for them, each once."""
    # In quotes: nothing of a query is ever read as FTS5's own language.
    return [f'"{mark}{word}"' for word in asked_words(query)]


def asked_words(query: str) -> list[str]:
    """The words of ``query`` that count, each once."""
    words = dict.fromkeys(word.lower() for word in _words(query[:_QUERY_CHARS]))
    return list(words)[:_QUERY_WORDS]


def plain_words(text: str) -> list[str]:
    """The words of ``text`` in lower case and without accents, for an index that leaves both as
    they are."""
    bare = _ACCENT.sub("", unicodedata.normalize("NFKD", text.lower()))
    return _words(bare)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text))
