"""Which way a card leads to an agent, and what its server is asked there."""

from __future__ import annotations

from typing import Any

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.types import AgentCard, Message

from codin.agent.adapters.remote.ways import Way, fit, ways

HERE = "https://agents.example.com/"


def card(*interfaces: tuple[str, str, str], streaming: bool = True, **more: Any) -> AgentCard:
    """A card of 1.0 with these interfaces: URL, binding, version."""
    named = ("url", "protocolBinding", "protocolVersion")
    return parse_agent_card(
        {
            "name": "far",
            "supportedInterfaces": [dict(zip(named, one, strict=True)) for one in interfaces],
            "capabilities": {"streaming": streaming},
            **more,
        }
    )


def told(found: list[Way]) -> list[tuple[str, str, str, bool]]:
    return [(w.url, w.binding, "0.3" if w.old else "1.0", w.streams) for w in found]


def test_new_before_old_and_streams_before_none() -> None:
    found = ways(
        card(
            (HERE, "JSONRPC", "0.3"),
            (HERE, "GRPC", "1.0"),
            (HERE, "HTTP+JSON", "1.0"),
            (HERE, "JSONRPC", "1.0"),
        ),
        HERE,
    )
    best = [
        (HERE, "HTTP+JSON", "1.0"),
        (HERE, "JSONRPC", "1.0"),
        (HERE, "JSONRPC", "0.3"),
    ]
    assert told(found) == [(*way, True) for way in best] + [(*way, False) for way in best]


def test_a_server_that_does_not_stream_is_not_asked_to() -> None:
    found = ways(card((HERE, "HTTP+JSON", "1.0"), streaming=False), HERE)
    assert told(found) == [(HERE, "HTTP+JSON", "1.0", False)]


def test_a_card_of_old_is_asked_by_old() -> None:
    old = parse_agent_card({"name": "far", "url": HERE, "capabilities": {"streaming": True}})
    assert told(ways(old, HERE))[0] == (HERE, "JSONRPC", "0.3", True)
    assert all(way.old for way in ways(old, HERE))


@pytest.mark.parametrize(
    ("said", "base", "found"),
    [
        ("https://agents.example.com/a", HERE, ["https://agents.example.com/a"]),
        ("/a", HERE, ["https://agents.example.com/a"]),
        ("a", HERE, ["https://agents.example.com/a"]),
        # another public name may be right: it is tried first
        (
            "http://agent.internal:8000/rpc",
            HERE,
            ["http://agent.internal:8000/rpc", "https://agents.example.com/rpc"],
        ),
        # behind a proxy that serves it below a path
        (
            "http://agent.internal:8000/",
            HERE + "agents/scout/",
            [
                "http://agent.internal:8000/",
                "https://agents.example.com/agents/scout/",
                "https://agents.example.com/",
            ],
        ),
        # the card of another machine does not lead to this one
        ("http://localhost:8000/", HERE, ["https://agents.example.com/"]),
        ("http://127.0.0.1:8000/x", HERE, ["https://agents.example.com/x"]),
        ("http://[::1]:8000/", HERE, ["https://agents.example.com/"]),
        ("http://0.0.0.0:8000/", HERE, ["https://agents.example.com/"]),
        ("http://0.0.0.0:8000/", "http://127.0.0.1:9000/", ["http://127.0.0.1:9000/"]),
        (
            "http://localhost:8000/",
            "http://127.0.0.1:9000/",
            ["http://localhost:8000/", "http://127.0.0.1:9000/"],
        ),
    ],
)
def test_where_the_card_says_and_where_it_was_found(said: str, base: str, found: list[str]) -> None:
    urls = [way.url for way in ways(card((said, "HTTP+JSON", "1.0"), streaming=False), base)]
    assert urls == found


ASSISTANT = HERE + "a2a/8a38ed27-f6a4-513f-9486-f719f523ada2"
GRAPH = card(
    (ASSISTANT, "JSONRPC", "1.0"),
    skills=[{"id": "s", "name": "s", "description": "s", "tags": ["langgraph"]}],
)


def test_langgraphs_server_is_asked_by_old_first() -> None:
    assert told(ways(GRAPH, HERE))[:2] == [
        (ASSISTANT, "JSONRPC", "0.3", True),
        (ASSISTANT, "JSONRPC", "1.0", True),
    ]


@pytest.mark.parametrize(
    ("context", "sent"),
    [
        ("", ""),
        ("0" * 32, "00000000-0000-0000-0000-000000000000"),
        ("my chat", "8e15be23-6d24-5a73-9312-7103c68b33a4"),
    ],
)
def test_langgraphs_server_gets_contexts_that_it_can_keep(context: str, sent: str) -> None:
    message = Message(context_id=context)
    fit(message, GRAPH)
    assert message.context_id == sent
    other = Message(context_id=context)
    fit(other, card((HERE, "JSONRPC", "1.0")))
    assert other.context_id == context
