"""What agents ask, answered on the page: calls that have to be approved, and questions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser_tab import Tab, give, state
from playwright.async_api import Page, expect

from codin.agent.base import Task
from codin.agent.events import AgentEvent, InputRequest, TextFinal, ToolCall
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanRequest
from codin.task.calls import _request
from codin.testing.serving import ScriptedAgent, Served, serve_agents
from codin.testing.team import PROBE
from codin.tool.policies.approval import PendingCall

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

COLOURS = ["red", "blue", f"gre\u202een{PROBE}"]
MANY = [f"number {n}" for n in range(20)]
CALL: dict[str, Any] = {
    "to": "Bo\u202e\u200b\u3164\U000e0041\x07\n" + PROBE,
    "amount": 12345678901234567890,
    "rate": 1.5,
    "note": "line\n" * 200,
}
SHOWN = (
    '{\n  "to": "Bo\\u202e\\u200b\\u3164\\udb40\\udc41\\u0007\\n'
    + PROBE.replace('"', '\\"')
    + '",\n'
    '  "amount": 12345678901234567890,\n  "rate": 1.5,\n  "note": "' + "line\\n" * 200 + '"\n}'
)
QUESTIONS = {
    "approve": _request(PendingCall("c1", f"pay{PROBE}", CALL, "k", f"pay: Ann asks. {PROBE}")),
    "framework": InputRequest(
        request_id="q",
        prompt="Approve?\nIt costs.",
        request_kind="approval",
        call=ToolCall(call_id="c", name="buy", arguments={"what": "tea"}),
    ),
    "plain": InputRequest(request_id="q", prompt="Go on?", request_kind="approval"),
    "boolean": InputRequest(request_id="q", prompt="Sure?", answer_schema={"type": "boolean"}),
    "enum": InputRequest(
        request_id="q", prompt="Which?" + PROBE, answer_schema={"type": "string", "enum": COLOURS}
    ),
    "many": InputRequest(request_id="q", prompt="Which?", answer_schema={"enum": MANY}),
    "odd": InputRequest(request_id="q", prompt="Odd?", answer_schema={"enum": [1, "a"]}),
}


async def ask(task: Task) -> AsyncGenerator[AgentEvent, None]:
    """Asks the question that the goal names, then a second time where it is to, and repeats what
    was answered."""
    if task.state is None:
        asked = next(one for name, one in QUESTIONS.items() if f"ask {name}" in task.text)
        yield asked.model_copy(update={"state": "again" if "twice" in task.text else "asked"})
    elif task.state == "again":
        yield InputRequest(request_id="z", prompt="And then?", state="asked")
    else:
        yield TextFinal(message_id="m", text=f"You said {task.text.encode().hex()}.")


class Alone(Planner):
    async def plan(self, request: PlanRequest) -> Plan:
        steps = (Step(id="ask", agent="asker", instruction=request.goal),)
        return Plan(goal=request.goal, steps=steps)


@pytest_asyncio.fixture(loop_scope="module")
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve_agents(tmp_path, [ScriptedAgent("asker", ask)], Alone()) as served:
        yield served


async def asked(tab: Tab, served: Served, goal: str) -> Any:
    """The question of the goal, on the page."""
    await give(tab.page, served, goal)
    await expect(state(tab.page)).to_have_text("Needs an answer", timeout=20_000)
    return tab.page.get_by_role("region", name="Question")


async def answered(tab: Tab, text: str) -> None:
    await expect(state(tab.page)).to_have_text("Done", timeout=20_000)
    await expect(tab.page.locator(".answer")).to_have_text(f"You said {text.encode().hex()}.")
    await expect(tab.page.get_by_role("region", name="Question")).to_be_hidden()
    await tab.check()


async def test_a_call_is_shown_as_it_would_be_made_and_approved(served: Served, tab: Tab) -> None:
    page = tab.page
    question = await asked(tab, served, "ask approve")
    await expect(page.get_by_role("alert")).to_have_text("asker asks: May this call be made?")
    arguments = question.get_by_role("group", name="Arguments of the call")
    assert await arguments.evaluate("one => one.textContent") == SHOWN
    assert await arguments.evaluate("one => one.scrollHeight > one.clientHeight")
    assert await question.locator("code").text_content() == f"pay{PROBE}"
    await expect(question.locator(".why")).to_have_text(f"pay: Ann asks. {PROBE}")
    assert await question.locator("img, script, svg, a, [onerror]").count() == 0
    await expect(page.locator(".step")).to_have_attribute("data-state", "input-required")
    await page.reload()
    await question.get_by_role("button", name="Approve").click()
    await answered(tab, "yes")
    await expect(page.locator(".step")).to_have_attribute("data-state", "completed")


@pytest.mark.parametrize(("why", "said"), [("", "no"), (" use 90 ", "no: use 90")])
async def test_a_call_is_denied_with_the_reason(
    served: Served, tab: Tab, why: str, said: str
) -> None:
    question = await asked(tab, served, "ask approve")
    await question.get_by_label("Why not (optional)").fill(why)
    await question.get_by_role("button", name="Deny").click()
    await answered(tab, said)


async def test_what_a_framework_wants_approved_is_told_in_its_words(
    served: Served, tab: Tab
) -> None:
    question = await asked(tab, served, "ask framework")
    await expect(question.get_by_role("alert")).to_have_text("asker asks: Approve? It costs.")
    await expect(question.get_by_role("group")).to_have_text('{ "what": "tea" }')
    await question.get_by_role("button", name="Approve").click()
    await answered(tab, "yes")


async def test_an_approval_without_a_call_has_its_buttons(served: Served, tab: Tab) -> None:
    question = await asked(tab, served, "ask plain")
    await expect(question.locator("pre")).to_have_count(0)
    await question.get_by_role("button", name="Deny").click()
    await answered(tab, "no")


@pytest.mark.parametrize(
    ("name", "button", "said"),
    [("boolean", "No", "no"), ("enum", "blue", "blue"), ("enum", "gre\\u202een", COLOURS[2])],
)
async def test_few_answers_are_buttons(
    served: Served, tab: Tab, name: str, button: str, said: str
) -> None:
    question = await asked(tab, served, f"ask {name}")
    await question.get_by_role("button", name=button).click()
    await answered(tab, said)


async def test_many_answers_are_a_list(served: Served, tab: Tab) -> None:
    question = await asked(tab, served, "ask many")
    await question.get_by_label("Your answer").select_option("number 17")
    await question.get_by_role("button", name="Send").click()
    await answered(tab, "number 17")


async def test_other_answers_are_text(served: Served, tab: Tab) -> None:
    question = await asked(tab, served, "ask odd")
    await question.get_by_label("Your answer").fill("1")
    await tab.page.keyboard.press("Enter")
    await answered(tab, "1")


async def test_the_keyboard_is_enough_and_enter_in_the_reason_denies(
    served: Served, tab: Tab
) -> None:
    page = tab.page
    question = await asked(tab, served, "ask approve")
    await question.locator("pre").focus()
    await page.keyboard.press("Tab")
    await expect(question.get_by_role("button", name="Approve")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.type("never")
    await page.keyboard.press("Enter")
    await answered(tab, "no: never")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()


async def test_a_second_click_does_not_answer_the_next_question(served: Served, tab: Tab) -> None:
    question = await asked(tab, served, "ask boolean twice")
    await question.get_by_role("button", name="Yes").dblclick()
    await expect(tab.page.get_by_role("alert")).to_have_text("asker asks: And then?")
    await question.get_by_label("Your answer").fill("home")
    await question.get_by_role("button", name="Send").click()
    await answered(tab, "home")


async def test_an_answer_that_is_refused_can_be_given_again(served: Served, tab: Tab) -> None:
    page = tab.page
    question = await asked(tab, served, "ask odd")
    await question.get_by_label("Your answer").fill("x" * 300_000)
    await question.get_by_role("button", name="Send").click()
    await expect(page.locator(".notice")).to_contain_text("262,144")
    await expect(question.get_by_role("button", name="Send")).to_be_focused()
    await question.get_by_label("Your answer").fill("short")
    await question.get_by_role("button", name="Send").click()
    await expect(state(page)).to_have_text("Done", timeout=20_000)
    await expect(page.locator(".notice")).to_be_hidden()


WAITED = """async () => {
  const { Run } = await import('/static/run.js');
  const run = new Run('t');
  let seq = 0;
  const child = (kind, body) => run.apply({task_id: 't', seq: ++seq, time: seq, kind: 'child',
    body: {step: 's', agent: 'a', task_id: 'c', seq, kind, body}});
  const told = (data) => child('status', {status: {state: 'TASK_STATE_WORKING',
    message: {parts: [{data}]}}});
  const record = (more) => child('call', {name: 'f', ...more});
  const seen = () => run.items.map(one => [one.waits ?? false, one.done, one.result ?? null]);
  if (TELLS) told({type: 'tool_call', call_id: '1', name: 'f', arguments: {x: 1}});
  record({type: 'started', call_id: 'r1', arguments: '{"x": 1}'});
  record({type: 'finished', call_id: 'r1', error_type: 'ApprovalNeeded', message: 'ask'});
  const before = seen();
  record({type: 'started', call_id: 'r2', arguments: '{"x": 1}'});
  record({type: 'finished', call_id: 'r2', value: 'A'});
  if (TELLS) told({type: 'tool_result', call_id: '1', name: 'f', content: 'A'});
  return [before, seen()];
}"""


@pytest.mark.parametrize("tells", ["true", "false"])
async def test_a_call_that_waited_is_one_item(served: Served, tab: Tab, tells: str) -> None:
    await tab.page.goto(served.url)
    assert await tab.page.evaluate(WAITED.replace("TELLS", tells)) == [
        [[True, False, None]],
        [[False, True, "A"]],
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
async def test_it_fits_narrow_and_wide(served: Served, tab: Tab, scheme: Any, width: int) -> None:
    page: Page = tab.page
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": width, "height": 740})
    question = await asked(tab, served, "ask approve")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for button in ("Approve", "Deny"):
        box = await question.get_by_role("button", name=button).bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
