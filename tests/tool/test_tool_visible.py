"""Calls as whoever approves them reads them."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from codin.tool.policies.approval import PendingCall, call_text, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcode, 日本 🎉", "plain text, ünïcode, 日本 🎉"),
        ("a\u202eb\u200bc", "a\\u202eb\\u200bc"),
        ("line\n\tnext", "line\n\tnext"),
        ("\r\x1b[2J\x7f\x00", "\\u000d\\u001b[2J\\u007f\\u0000"),
        ("\u3164\U000e0041\ud800", "\\u3164\\udb40\\udc41\\ud800"),
    ],
)
def test_what_would_not_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert json.loads(call_text("f", {"x": text}).removeprefix("f ")) == {"x": text}


def test_no_control_and_no_mark_of_direction_passes() -> None:
    passed = {
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if visible(char) == char
        and (
            unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}
            or unicodedata.bidirectional(char) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"}
        )
    }
    assert passed == {"\n", "\t"}


def test_a_pending_call_is_its_text() -> None:
    call = PendingCall("c", "pay", {"to": "Bo\u202e", "amount": 2**70}, "k", "why")
    assert str(call) == f'pay {{\n  "to": "Bo\\u202e",\n  "amount": {2**70}\n}}'
