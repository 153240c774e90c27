"""Ranking by the words of descriptions."""

from codin.agent.base import AgentInfo
from codin.agent.planning.ranking import LexicalRanking, claims, stems

GARDENER = AgentInfo("g", "Gardener", "Plants and waters tomatoes. Does not cook soups.")
COOK = AgentInfo("c", "Cook", "Cooks soups and stews from given vegetables; never waters plants.")
CARTER = AgentInfo("k", "Carter", "Carries boxes.", skills=("delivery of parcels",))

TEAM = (GARDENER, COOK, CARTER)


def test_shared_words_count_whatever_their_endings() -> None:
    assert stems("Cooking soups, watered plants!") == stems("cook a soup; waters the plant")
    scores = LexicalRanking(TEAM).scores("Please cook a soup")
    assert scores["c"] == 1.0
    assert scores["k"] == 0.0


def test_what_an_agent_denies_speaks_not_for_it() -> None:
    assert "soups" not in claims(GARDENER)
    assert "waters" not in claims(COOK)
    scores = LexicalRanking(TEAM).scores("cook soup and water plants")
    assert scores["c"] == scores["g"] == 0.5


def test_skills_count_too() -> None:
    assert LexicalRanking(TEAM).scores("deliver a parcel")["k"] == 1.0


def test_rare_words_count_more() -> None:
    team = [*TEAM, AgentInfo("o", "Other", "Cooks jam.")]
    scores = LexicalRanking(team).scores("cook jam")
    assert scores["o"] == 1.0
    assert 0 < scores["c"] < 0.5


def test_words_that_nobody_has_make_no_difference() -> None:
    ranking = LexicalRanking(TEAM)
    assert ranking.scores("xylophone") == {"g": 0.0, "c": 0.0, "k": 0.0}
    assert ranking.scores("") == {"g": 0.0, "c": 0.0, "k": 0.0}
    assert ranking.scores("cook the xylophone") == ranking.scores("cook")


def test_the_best_come_in_the_order_in_which_they_were_given() -> None:
    ranking = LexicalRanking(TEAM)
    assert ranking.best("carry the soup", 2) == ["c", "k"]
    assert ranking.best("carry the soup", 9) == ["g", "c", "k"]
