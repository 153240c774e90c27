"""The checker takes right answers however they are written, and only those."""

import json
import shutil
import struct
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    noise = bytes((i * 97 + i * i) % 256 for i in range(33 * 32))
    head = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(noise)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


RIGHT = {
    "sales-lead": [
        "North had the highest revenue in 2025: it beat West by 21,702.08.",
        "In 2025 the regions Central, East, North, South and West sold.\n"
        "The top region was **North** ($191,092.33), $21702.08 ahead of West.",
        "North: 191092.33\nWest: 169390.25\nSouth: 128027.03\nDifference: 21702.079999999987",
        "Region with highest revenue: North\nSecond highest: West\nDifference: 21,702",
        "NORTH was first. The second best region, West, is 21\u202f702.08 behind.",
    ],
    "sales-online": ["281.86", "It is $281.86 an order.", "average: 281.857505", "**281.86**."],
    "sales-month": [
        "September 2025, with 1,035 units",
        "The most units were sold in 2025-09 (1035). It may be the autumn.",
        "Month 9 had the most: 1035.0 units; Nov was second with 864.",
    ],
    "sales-discounts": ["124 orders", "There were 124.", "count=124"],
    "sales-rating": ["The Monitor Arm has the best rating, 4.25 of 5.", "Monitor Arm | 4.253472"],
    "rides-zone": ["University: 934 rides", "Most rides, 934, start in the University zone."],
    "rides-long": ["14.80", "$14.8 on average"],
    "rides-correlation": ["0.85", "r = .849, a strong one", "Pearson: 0.849415"],
    "rides-hour": ["18:00, with 363 rides", "At 6 PM: 363", "hour 18 has 363", "18 h, 363 rides"],
    "rides-share": ["Cars made 47.6% of it.", "car: 0.4765", "The car leads (47.65 percent)."],
}
WRONG = {
    "sales-lead": [
        "",
        "West had the highest revenue and beat North by 21,702.08.",
        "North had the highest revenue in 2025, by 21,802.08.",
        "Central 87622.11\nEast 86111.71\nNorth 191092.33\nWest 169390.25\nthat is 21702.08",
        "North had the highest revenue, by 121702.08.",
        "The winner is 21702.08 ahead.",
    ],
    "sales-online": ["284.97", "281.8", "1281.86", "281.861.2", "281", "about 282"],
    "sales-month": ["November 2025, with 1035 units", "September, 1036", "It may be 1035 units."],
    "sales-discounts": ["633", "1240", "12.4", "version 1.124.0", "124,000", "A124"],
    "sales-rating": [
        "Standing Desk, 4.25",
        "Monitor Arm, 4.35",
        "Headset is best, Monitor Arm 4.25",
    ],
    "rides-zone": ["Old Town leads with 934; University is next.", "University: 933", "934"],
    "rides-long": ["14.08", "4.80", "14.79"],
    "rides-correlation": ["0.95", "-0.85", "0.8", "85"],
    "rides-hour": ["17:00, with 363 rides", "18:00, with 312 rides", "8 pm, 363"],
    "rides-share": ["van, 47.6%", "car, 46.6%", "The van is on top with 47.6%, the car next."],
}


def made_for(checker: ModuleType, case: str) -> dict[str, bytes]:
    """Files that leave nothing to be desired."""
    files = {"report.md": RIGHT[case][0].encode(), "chart.png": png()}
    wanted = checker.load()[case]["files"]
    return {name: body for name, body in files.items() if name.split(".")[0] in wanted}


def test_goals_are_five_for_each_data_set_and_carry_the_expected_values(
    checker: ModuleType, expected: ModuleType
) -> None:
    cases = checker.load()
    assert [case["data"] for case in cases.values()] == ["sales"] * 5 + ["rides"] * 5
    values = {
        name: {fact["key"]: fact["value"] for fact in case["facts"]} for name, case in cases.items()
    }
    assert values == expected.expected()
    wanted = [file for case in cases.values() for file in case["files"]]
    assert wanted.count("report") >= 2
    assert wanted.count("chart") >= 1
    assert set(wanted) == {"report", "chart"}


def test_the_default_goal_is_among_them(checker: ModuleType) -> None:
    team = EXAMPLES / "team" / "codin.toml"
    default = tomllib.loads(team.read_text(encoding="utf-8"))
    case = checker.load()["rides-share"]
    assert default["goal"]["default"] == case["goal"]
    assert default["data"] == [f"../data/{case['data']}"]


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_answer_is_taken_however_it_is_written(checker: ModuleType, case: str) -> None:
    for answer in RIGHT[case]:
        verdict = checker.check(checker.load()[case], answer, made_for(checker, case))
        assert verdict.right, (answer, verdict)
        assert verdict.missing == []


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_not(checker: ModuleType, case: str) -> None:
    for answer in WRONG[case]:
        verdict = checker.check(checker.load()[case], answer, made_for(checker, case))
        assert not verdict.right, answer
        assert verdict.missing


def test_no_case_is_met_by_the_goal_itself_or_by_all_there_is_to_choose_from(
    checker: ModuleType,
) -> None:
    for case in checker.load().values():
        among = [name for fact in case["facts"] for name in fact.get("among", [])]
        assert not checker.check(case, case["goal"], {}).right
        assert not checker.check(case, ", ".join(among), made_for(checker, case["id"])).right


def test_a_report_that_was_asked_for_has_to_say_it_all(checker: ModuleType) -> None:
    case = checker.load()["rides-share"]
    full = b"The car brought in the most: 47.6 percent."
    right = RIGHT["rides-share"][0]
    assert checker.check(case, right, {"out/report.md": full}).right
    assert checker.check(case, "I wrote report.md.", {"out/report.md": full}).right
    assert checker.check(case, right, {}).missing == ["report"]
    assert checker.check(case, right, {"report.md": b"The car did."}).missing == ["report"]
    assert checker.check(case, right, {"report.csv": full}).missing == ["report"]
    silent = checker.check(case, "Done.", {"out/report.md": full})
    assert silent.missing == ["vehicle", "share"]


@pytest.mark.parametrize("body", [b"", b"png", b"\x89PNG\r\n\x1a\n" + b"0" * 500])
def test_a_chart_has_to_be_an_image(checker: ModuleType, body: bytes) -> None:
    case = checker.load()["rides-correlation"]
    assert checker.check(case, "0.85", {"chart.png": png()}).right
    assert checker.check(case, "0.85", {"chart.png": body}).missing == ["chart"]
    assert checker.check(case, "0.85", {"chart.md": png()}).missing == ["chart"]
    assert checker.check(case, "0.85").missing == ["chart"]


def test_an_unknown_kind_of_fact_is_an_error(checker: ModuleType) -> None:
    case = {**checker.load()["rides-zone"], "facts": [{"key": "k", "kind": "odd", "value": 1}]}
    with pytest.raises(ValueError, match=r"'k'.*'odd'"):
        checker.check(case, "1")


def run(examples: Path, answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = examples / "eval" / "checker.py"
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        input=answer,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_on_the_command_line_the_answer_and_the_files_made_are_judged(
    examples: Path, tmp_path: Path
) -> None:
    answer = "Monitor Arm, 4.25"
    done = run(examples, answer, "sales-rating", "--made", str(tmp_path))
    assert (done.returncode, json.loads(done.stdout)["missing"]) == (1, ["report"])
    (tmp_path / "result.md").write_text(answer, encoding="utf-8")
    done = run(examples, answer, "sales-rating", "--made", str(tmp_path))
    assert (done.returncode, json.loads(done.stdout)["right"]) == (0, True)


def test_what_was_given_is_not_what_was_made(
    examples: Path, checker: ModuleType, tmp_path: Path
) -> None:
    shutil.copytree(examples / "data", tmp_path / "data")
    assert checker.files_in(tmp_path) == {}
    (tmp_path / "data" / "README.md").write_text("changed", encoding="utf-8")
    assert checker.files_in(tmp_path) == {"data/README.md": b"changed"}


def test_on_the_command_line_an_unknown_case_cannot_be_judged(examples: Path) -> None:
    done = run(examples, "", "sales-nothing")
    assert done.returncode == 2
    assert "sales-nothing" in done.stderr
    assert "rides-share" in done.stderr
