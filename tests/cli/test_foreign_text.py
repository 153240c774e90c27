"""Foreign text on a terminal does nothing to it, and is read as it stands."""

import unicodedata

from codin.cli.text import clean, short

_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_what_drives_a_terminal_is_replaced() -> None:
    assert clean("\x1b[2Ja\x07\rb\x9bc\x7f") == "�[2Ja��b�c�"
    assert clean("two\nlines\tand a tab") == "two\nlines\tand a tab"


def test_nothing_turns_the_direction_of_what_follows() -> None:
    every = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x110000))]
    turning = {one for one in every if unicodedata.bidirectional(one) in _TURNING}
    assert len(turning) == 9
    assert all(clean(one) == "�" for one in turning)


def test_letters_of_all_scripts_stay() -> None:
    assert clean("שלום مرحبا é 你好") == "שלום مرحبا é 你好"
    assert short("pay\n(to='\u202eoB')") == "pay (to='�oB')"
