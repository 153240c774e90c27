"""The ledger that the proof of goals is compared with."""

from pathlib import Path

from codin.testing.chaos.ledger import EffectLedger


def test_each_effect_is_counted(tmp_path: Path) -> None:
    ledger = EffectLedger(tmp_path)
    assert not ledger.counts()
    for key in ("codin:a:1", "codin:b:1", "codin:a:1"):
        ledger.add(key)
    assert ledger.counts() == {"codin:a:1": 2, "codin:b:1": 1}


def test_a_line_that_a_kill_cut_short_counts_for_nothing_and_spoils_no_other(
    tmp_path: Path,
) -> None:
    ledger = EffectLedger(tmp_path)
    ledger.add("codin:a:1")
    whole = ledger.path.read_bytes()
    for length in range(1, len(whole) - 2):
        ledger.path.write_bytes(whole[:length])
        ledger.add("codin:b:1")
        assert ledger.counts() == {"codin:b:1": 1}
