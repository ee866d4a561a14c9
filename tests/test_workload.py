"""Calls as teams have them: lengths, arrivals, sessions, users, traces; and their team files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import team, traces, workload

BASE = (team.TEAMS / "coding_assistant.toml").read_text(encoding="utf-8")


@given(
    st.integers(50, 3000), st.floats(20, 5000), st.floats(0, 1.5), st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_lengths_keep_their_mean_and_their_bounds(count, mean, variation, seed):
    tokens = workload.lengths(count, mean, variation, least=2, most=8 * mean, seed=seed)
    assert tokens.min() >= 2 and tokens.max() <= np.rint(8 * mean)
    assert tokens.mean() == pytest.approx(mean, rel=0.02)


def test_lengths_are_lognormal():
    tokens = workload.lengths(100_000, 1000, 1.0)
    assert tokens.std() / tokens.mean() == pytest.approx(1.0, rel=0.03)
    assert np.median(tokens) == pytest.approx(1000 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize("variation", [0, 1, 3])
def test_arrivals_come_at_one_a_second_with_the_variation_asked(variation):
    times = workload.arrivals(20_000, variation, seed=5)
    gaps = np.diff(times, prepend=0)
    assert times[-1] == pytest.approx(20_000)
    assert gaps.std() / gaps.mean() == pytest.approx(variation, rel=0.06, abs=1e-9)


def test_poisson_arrivals_are_counted_as_poisson():
    counts = np.bincount(workload.arrivals(50_000, seed=1).astype(int) // 10)[:-1]
    assert counts.var() / counts.mean() == pytest.approx(1.0, rel=0.1)


def test_a_day_has_its_profile():
    hourly = np.arange(24)
    times = workload.day(27_600, hourly, seed=2)
    assert len(times) == 27_600 and np.all(np.diff(times) >= 0)
    per_hour = np.bincount((times // 3600).astype(int), minlength=24)
    assert np.allclose(per_hour, 100 * hourly, atol=1)


def test_sessions_repeat_what_was_said():
    stream = workload.sessions(40, 4, 1000, 200, 100, 2.0, system=300, variation=0.4, seed=3)
    prompt, output = stream.prompt.reshape(-1, 4), stream.output.reshape(-1, 4)
    history = stream.history.reshape(-1, 4)
    assert np.all(history[:, 1:] == prompt[:, :-1] + output[:, :-1] - 1)
    assert np.all(prompt[:, 1:] > history[:, 1:])
    assert np.all(stream.cached <= 300) and np.all(stream.cached < stream.prompt)
    assert np.isnan(stream.arrival.reshape(-1, 4)[:, 1:]).all()
    assert np.all(stream.successor.reshape(-1, 4)[:, -1] == workload.NONE)


def test_the_busiest_hour_of_a_short_trace_is_all_of_it():
    assert workload.busiest_hour(np.array([0.0, 10.0, 20.0])) == (0, 3, 20.0)


# ---- team files -------------------------------------------------------------------------------


def with_arrivals(tmp_path, lines, **changes):
    text = BASE.replace("[slo]", f"[workload.arrivals]\n{lines}\n\n[slo]")
    for old, new in changes.items():
        assert old.replace("__", " = ") in text
        text = text.replace(old.replace("__", " = "), new)
    path = tmp_path / "asked.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_session_states_its_cached_share_itself(tmp_path, records):
    made = team.read("agent_platform", records)
    load = made.workload
    # by hand: growth 2 (14000 - 4000) / 24 - 300 and fresh tokens 2000 + 24 of those
    growth = 20_000 / 24 - 300
    assert load.session_growth == pytest.approx(growth)
    fresh = 2000 + 24 * growth
    assert load.cached_prompt_share == pytest.approx(1 - fresh / (25 * 14_000))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('kind = "bursts"', "field workload.arrivals: kind must be one of independent, bursty"),
        ("variation = 2.0", "field workload.arrivals: kind is missing"),
        ('kind = "bursty"\nvariation = 0.5', "field workload.arrivals.variation: 0.5"),
        ('kind = "bursty"\nvariation = 2.0\nburst = 1', "known: kind, variation"),
        ('kind = "users"', "field workload.arrivals.think_time: missing"),
        ('kind = "users"\nthink_time = "long"', "field workload.arrivals.think_time: 'long'"),
        (
            'kind = "sessions"\nturns = 5\nfirst_prompt_tokens = 100\npause = 1.0',
            "cached_prompt_share: follows from the session",
        ),
        ('kind = "trace"\nfile = "../secret.csv"', "lies beside the team's file"),
        ('kind = "trace"\nfile = "absent.csv"', "absent.csv: cannot be read"),
    ],
)
def test_arrivals_that_cannot_be_used_say_why(tmp_path, records, lines, words):
    with pytest.raises(team.TeamError) as error:
        team.read(with_arrivals(tmp_path, lines), records)
    assert words in str(error.value), error.value


def test_an_impossible_session_names_the_range(tmp_path, records):
    lines = 'kind = "sessions"\nturns = 5\nfirst_prompt_tokens = 5900\npause = 1.0'
    path = with_arrivals(tmp_path, lines, cached_prompt_share__0="# 0")
    with pytest.raises(team.TeamError, match=r"first_prompt_tokens: 5900 .* give 0 to 5200"):
        team.read(path, records)


def test_a_profile_must_agree_with_its_busiest_hour(tmp_path, records):
    path = tmp_path / "asked.toml"
    text = BASE.replace("busiest_hour_share = 0.16", "busiest_hour_share = 0.3")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(team.TeamError, match=r"the largest of hourly is 0\.16 of their sum"):
        team.read(path, records)


def write_trace(path, prompt=6000, output=400, calls=400, header="timestamp"):
    rows = [f"{10 * i},{prompt},{output}" for i in range(calls)]
    path.write_text("\n".join([f"{header},prompt_tokens,output_tokens", *rows]), encoding="utf-8")


def test_a_trace_is_read_and_identifies_the_run(tmp_path, records):
    write_trace(tmp_path / "calls.csv")
    path = with_arrivals(tmp_path, 'kind = "trace"\nfile = "calls.csv"')
    calls = team.read(path, records).workload.arrivals.calls
    assert len(calls.arrival) == 400 and calls.arrival[1] == 10
    write_trace(tmp_path / "calls.csv", output=401)
    traces.read.cache_clear()
    again = team.read(path, records).workload.arrivals.calls
    assert again.digest != calls.digest


def test_a_trace_of_dates_is_read(tmp_path):
    path = tmp_path / "dates.csv"
    rows = [f"2026-05-04 09:{i:02d}:00,100,10" for i in range(30)]
    path.write_text("\n".join(["timestamp,prompt_tokens,output_tokens", *rows]), encoding="utf-8")
    assert traces.read(path).arrival[1] == 60


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("time,prompt_tokens\n1,2\n", "column timestamp is missing"),
        ("timestamp,prompt_tokens,output_tokens\n1,2,3\n", "1 calls; give 20"),
        ("timestamp,prompt_tokens,output_tokens\n" + "1,2,3\n" * 30, "the same timestamp"),
        ("timestamp,prompt_tokens,output_tokens\n" + "1,2,3\n" * 20 + "2,x,3\n",
         "row 22, field prompt_tokens: 'x'"),
        ("timestamp,prompt_tokens,output_tokens\n" + "1,2,3\n" * 20 + "2,4,nan\n",
         "row 22, field output_tokens: 'nan'"),
        ("timestamp,prompt_tokens,output_tokens\n" + "1,2,3\n" * 20 + "inf,4,5\n",
         "row 22, field timestamp: 'inf'"),
    ],
)  # fmt: skip
def test_a_broken_trace_names_row_and_field(tmp_path, content, words):
    path = tmp_path / "broken.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(traces.TraceError) as error:
        traces.read(path)
    assert words in str(error.value), error.value


def test_a_trace_of_another_length_is_refused(tmp_path, records):
    write_trace(tmp_path / "calls.csv", prompt=100)
    path = with_arrivals(tmp_path, 'kind = "trace"\nfile = "calls.csv"')
    with pytest.raises(team.TeamError, match=r"prompt_tokens: 6000, but the mean of calls.csv is"):
        team.read(path, records)
