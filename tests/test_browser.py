"""The notebooks in a real browser, in JupyterLab and as the app. Skipped where no Chromium is."""

import tomllib

import browser
import pytest

from planner import team

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.browser() is None,
        reason="no Chromium on this machine (Debian: apt install chromium): nothing was opened",
    ),
]
SAVED = "saved_by_a_test_in_a_browser"


@pytest.fixture(scope="module", params=browser.FRONT_ENDS)
def front_end(request):
    with browser.served(request.param) as address:
        yield request.param, address


@pytest.fixture
def page():
    with browser.window() as opened:
        yield opened


@pytest.mark.parametrize("name", browser.NOTEBOOKS)
def test_a_notebook_opens_without_a_fault_and_asks_nobody_outside(front_end, page, name, tmp_path):
    kind, address = front_end
    browser.opened(page, kind, address(name))
    assert browser.settled(page, kind) == []
    page.screenshot(path=tmp_path / f"{kind}_{name}.png")
    assert page.outside == []
    # an app has no code, and nothing is wider than the window
    assert kind == "lab" or page.locator(".jp-InputArea-editor:visible").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("name", browser.DIALS)
def test_a_dial_moves_its_chart(front_end, page, name):
    kind, address = front_end
    browser.opened(page, kind, address(name))
    browser.settled(page, kind)
    for dial, chart, _ in browser.DIALS[name]:
        before = page.locator(".planner-chart svg").nth(chart).element_handle()
        assert len(browser.moves(page, dial, chart, number=4)) >= 3, dial
        # patched, not drawn anew: it is the same drawing
        assert before.evaluate("drawing => drawing.isConnected"), dial


def test_a_scenario_is_saved_as_a_team(front_end, page):
    kind, address = front_end
    path = team.TEAMS / f"{SAVED}.toml"
    assert not path.exists()
    try:
        browser.opened(page, kind, address("60_plan_purchase"))
        browser.settled(page, kind)
        browser.moves(page, "people who may call", number=2)
        page.get_by_placeholder("name of the scenario").fill(SAVED)
        page.get_by_role("button", name="Save as team").click()
        page.wait_for_selector(f".planner-note:has-text('{SAVED}')")
        saved = team.read(SAVED)
        assert saved.workload.users != team.read("coding_assistant").workload.users
        assert tomllib.loads(path.read_text(encoding="utf-8"))["workload"]["users"]
    finally:
        path.unlink(missing_ok=True)


def test_a_tooltip_says_what_a_point_is(front_end, page):
    kind, address = front_end
    browser.opened(page, kind, address("10_choose_model"))
    browser.settled(page, kind)
    point = page.locator(".planner-chart svg .mark-symbol path").first
    point.scroll_into_view_if_needed()
    point.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "token/s" in page.locator("#vg-tooltip-element").inner_text()
