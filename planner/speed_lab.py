"""What the notebook on speed shows: users, prompts, splits, machines, roofline, parts of a step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from planner import display, estimate, phrases, serving, speed_charts, steps_apart, survey, where
from planner.catalogue import load
from planner.display import number
from planner.survey import Survey
from planner.theme import figure

MOST_USERS, SHORTEST = 500, 50  # ends of the curves [user], [token]
BATCHES = (1, 8, 64, 256)
# Of a survey, where one model on every machine is shown.
COLUMNS = ["server_id", "device_id", "kind", "tp", "sockets", "memory", "weight_format", "bits",
           "fits", "free_bytes", "speed", "speed_low", "speed_high", "speed_limit"]  # fmt: skip
CLOSE = 1.6  # dots nearer than this factor share a label [1]
KINDS = dict(zip(("gpu", "unified", "cpu"), speed_charts.KINDS, strict=True))
PARTS = dict(zip(("weights", "cache", "arithmetic", "communication", "fixed"), speed_charts.PARTS,
                 strict=True))  # fmt: skip
NO_ROOM = "does not fit: {size} GB missing"
NO_SPEED = "**No speed: {what} does not fit.** {size} GB are missing on {unit}. {remedy}"
REMEDY = "See [20 Memory](20_memory.ipynb) for what fits."
FULL = "room for {most}"
ENGINE = "the engine runs {most}"
WHOLE = (
    "**{model} in {format} on {machine} gives {users} {speed} token/s** ({low} to {high}; "
    "physics allows {limit} at most), all together {total} token/s. The first token of a prompt of "
    "{prompt} tokens comes after {ttft} ({ttft_low} to {ttft_high}) where nobody else asks.\n\n"
    "A step takes {step} ms; most of it goes into {part} ({share:.0f} %). It does {intensity} "
    "operations for every byte it reads, and the machine could do {ridge}: the step is "
    "**{bound}**. {advice}"
)
READS = (
    "Memory bandwidth limits it: fewer bits or a faster memory help, a faster chip does not, and "
    "more users at once cost little as long as weights are most of what is read."
)
ADVICE = {
    "weights": READS, "cache": READS,
    "arithmetic": "Arithmetic limits it: more accelerators or a smaller precision help, and more "
    "users at once share what there is.",
    "communication": "The accelerators wait for each other: fewer of them or faster links help.",
    "fixed": "The engine's own work between the steps limits it: more users at once cost little.",
}  # fmt: skip
WAIT = " The engine runs {most} at once by its own setting; the others wait."


def _repeated(one: Survey, number: int) -> Survey:
    return one.take(np.zeros(number, int))


def _curve(table, names):
    """Fields of a survey under the names that the charts of curves read."""
    ends = ("middle", "low", "high", "limit")
    fields = (names, f"{names}_low", f"{names}_high", f"{names}_limit")
    return pd.DataFrame({end: table[field] for end, field in zip(ends, fields, strict=True)})


def _title(model, weight_format, server, one):
    number = one.table["tp"].iloc[0]
    split = f", {number} accelerators" if number > 1 else ""
    return f"{load().models[model].name} in {weight_format} on {where.names()[server]}{split}"


def _missing(row):
    """What a caption says of a deployment that does not hold one user."""
    size = figure(-(row["free_bytes"] + row["cache_bytes"]) / 1e9)
    return "" if row["sequences"] >= 1 else f" ({NO_ROOM.format(size=size)})"


def users_chart(
    model: str, server: str, weight_format: str, split: int, context_tokens: int
) -> display.Drawing:
    """Speed of one user and of all against users at once."""
    one = where.deployment(model, server, weight_format, split)
    row = where.alone(model, server, weight_format, split, context_tokens)
    table, end = by_users(one, context_tokens, int(row["sequences"]))
    each = _curve(table, "speed").assign(users=table["users"])
    every = each.mul(table["users"], axis=0).assign(users=table["users"])
    said = "; ".join(
        f"{phrases.users(r.users)} {figure(r.middle)} token/s each"
        for r in each.iloc[[0, -1]].itertuples()
    ) if len(each) else "it does not fit"  # fmt: skip
    return display.drawing(
        speed_charts.users(),
        {"one": each, "all": every, "end": end},
        f"{_title(model, weight_format, server, one)}, {number(context_tokens)} tokens for every "
        f"user; red: what physics allows{_missing(row)}",
        f"Speed of one user and of all against users at once: {said}. At the end: "
        f"{end['words'].iloc[0]}.",
    )


def by_users(
    one: Survey, context_tokens: int, room: int
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """
    A deployment at one user, two, and on to as many as it runs at once.

    Parameters
    ----------
    one : Survey
        Of one row.
    context_tokens : int
        Of every user. [token]
    room : int
        Users that have it. [user]

    Returns
    -------
    table : DataFrame
        Columns of `Survey.at` and users; without a row where not even one has room.
    end : DataFrame
        users (the most that run at once) and words, why not more.
    """
    engine = serving.MOST_SEQUENCES[one.table["engine"].iloc[0]]
    most = min(room, engine, MOST_USERS)
    users = np.unique(np.geomspace(1, most, 22).round().astype(int)) if most else np.array([], int)
    many = _repeated(one, len(users))
    table = many.at(users, context_tokens=context_tokens).assign(users=users)
    words = FULL.format(most=most or "nobody") if room <= engine else ENGINE.format(most=most)
    return table, pd.DataFrame({"users": [most or MOST_USERS], "words": [words]})


def prompt_chart(
    model: str, server: str, weight_format: str, split: int
) -> display.Drawing:  # fmt: skip
    """Time to the first token against the prompt, alone on the machine."""
    one = where.deployment(model, server, weight_format, split)
    longest = max(load().models[model].context, 2 * SHORTEST)
    lengths = np.unique(np.geomspace(SHORTEST, longest, 30).round().astype(int))
    table = _repeated(one, len(lengths)).at(1, lengths, lengths)
    held = (table["sequences"] >= 1).to_numpy()
    curve = _curve(table, "ttft").assign(prompt=lengths)[held]
    ends = curve.iloc[[0, -1]] if len(curve) else curve
    said = "; ".join(f"{r.prompt:,} tokens {figure(r.middle)} s" for r in ends.itertuples())
    return display.drawing(
        speed_charts.prompts(),
        {"curve": curve, "end": ends.tail(1) if len(ends) else pd.DataFrame({"prompt": [longest]})},
        f"{_title(model, weight_format, server, one)}: first token of a prompt that finds nobody "
        f"else{_missing(where.alone(model, server, weight_format, split, SHORTEST))}",
        f"Time to first token against prompt: {said or 'it does not fit'}.",
    )


def splits_chart(
    model: str, server: str, weight_format: str, users: int, context_tokens: int
) -> display.Drawing:
    """Speed of the model on one, two, four and more accelerators of the machine."""
    there = survey.survey((model,), (server,), (weight_format,))
    table = there.at(users, context_tokens=context_tokens).sort_values("tp")
    table = table.reset_index(drop=True)
    each = _curve(table, "speed").assign(split=table["tp"], fits=table["fits"])
    first = each.loc[each["fits"], "middle"].iloc[:1].to_numpy()
    each["words"] = [
        f"x {row.middle / first[0]:.2g}" if row.fits else "no room" for row in each.itertuples()
    ]
    numbers = ["middle", "low", "high", "limit"]
    every = each.assign(**{name: users * each[name] for name in numbers})
    said = "; ".join(
        f"{row.split}: {figure(row.middle)} token/s" for row in each[each["fits"]].itertuples()
    )
    below = "; below: speed over that of the smallest split that fits"
    below = below if table["kind"].iloc[0] == "gpu" else "; a processor is not split"
    return display.drawing(
        speed_charts.splits(),
        {"one": each, "all": every},
        f"{load().models[model].name} in {weight_format}, {phrases.users(users)} of "
        f"{number(context_tokens)} tokens{below}",
        f"Speed of one user by accelerators: {said or 'it fits on none'}.",
    )


def machines(model: str, users: int, context_tokens: int) -> pd.DataFrame:
    """
    One model on every machine where it fits, in its widest format on the fewest devices.

    Parameters
    ----------
    model : str
        Id.
    users, context_tokens : int
        At once, and of each. [user], [token]

    Returns
    -------
    best : DataFrame
        `COLUMNS`, machine (in words), price [USD]; fastest first.
    """
    table = survey.survey((model,)).at(users, context_tokens=context_tokens)
    best = survey.widest(table.loc[table["fits"], COLUMNS], "server_id")
    return where.distinct(best, memory=False).sort_values("speed", ascending=False)


def machines_chart(model: str, users: int, context_tokens: int) -> display.Drawing:
    """Processors against accelerators: the model on every machine where it fits."""
    best = machines(model, users, context_tokens).reset_index(drop=True)
    called = where.names()
    ends = zip(best["speed_low"], best["speed_high"], strict=True)
    spans = [display.band(low, high, figure) for low, high in ends]
    rows = _curve(best, "speed").assign(
        place=range(len(best)), machine=best["machine"], kind=best["kind"].map(KINDS),
        words=[f"{name}, {span}" for name, span in zip(best["weight_format"], spans, strict=True)],
        server=best["server_id"].map(called), deployment=best["weight_format"],
    )  # fmt: skip
    said = "; ".join(
        f"{row.machine} {figure(row.middle)} token/s" for row in rows.head(8).itertuples()
    )
    none = "; it fits on none of them" if rows.empty else ""
    return display.drawing(
        speed_charts.machines(),
        {"machines": rows, "end": pd.DataFrame({"end": [0]})},
        f"{load().models[model].name}, {phrases.users(users)} of {number(context_tokens)} tokens, "
        f"on every machine that holds them; red: what physics allows{none}",
        f"Speed of one user on {len(rows)} machines, fastest first: {said or 'none'}.",
    )


def roofline_chart(
    model: str, server: str, weight_format: str, split: int, users: int, prompt_tokens: int,
    context_tokens: int,
) -> display.Drawing:  # fmt: skip
    """Arithmetic rate against intensity, under the roof of the machine."""
    one = where.deployment(model, server, weight_format, split)
    room = where.alone(model, server, weight_format, split, context_tokens)["sequences"]
    dots = operating(one, users, prompt_tokens, context_tokens, room)
    bandwidth, peak, own = (float(value[0]) for value in steps_apart.roof(one.group))
    ends = (dots["intensity"].min() / 2, peak / bandwidth, 8 * max(dots["intensity"].max(),
            peak / bandwidth))  # fmt: skip
    line = pd.DataFrame({"intensity": ends}).assign(
        rate=lambda f: np.minimum(peak, bandwidth * f["intensity"])
    )
    words = f"peak of {weight_format} weights here: {figure(own / 1e12)} TFLOP/s"
    dots["label"] = _labels(dots)
    said = "; ".join(
        f"{r.words} {figure(r.intensity)} FLOP/byte, {figure(r.share)} % of the roof"
        for r in dots.itertuples()
    )
    return display.drawing(
        speed_charts.roofline(),
        {"roof": line, "peak": pd.DataFrame({"rate": [own], "words": [words]}), "dots": dots},
        f"{_title(model, weight_format, server, one)}: under a roof of "
        f"{figure(bandwidth / 1e9)} GB/s and {figure(peak / 1e12)} TFLOP/s; "
        "pale: no room",
        f"Roofline. {said}.",
    )


def _labels(dots):
    """Words of the dots; where two stand too close for two labels, the second says both."""
    labels, order = dots["words"].copy(), dots["intensity"].sort_values().index
    for before, after in pairwise(order):
        close = dots["intensity"][after] < CLOSE * dots["intensity"][before]
        if close and dots["rate"][after] < 2 * dots["rate"][before]:
            labels[after] = f"{labels[before]}, {labels[after]}"
            labels[before] = ""
    return labels


def operating(
    one: Survey, users: int, prompt_tokens: int, context_tokens: int, room: float
) -> pd.DataFrame:  # fmt: skip
    """
    Operating points of a deployment: decode at some batches and at the dials, and one prompt.

    Parameters
    ----------
    one : Survey
        Of one row.
    users, prompt_tokens, context_tokens : int
        At the dials. [user], [token], [token]
    room : float
        Users that have it. [user]

    Returns
    -------
    points : DataFrame
        what, words, room; intensity [FLOP/B], rate, roof (at that intensity) [FLOP/s], share [%].
    """
    batch = np.array([*BATCHES, users])
    many = _repeated(one, len(batch))
    work, read = steps_apart.decode_work(many.group, batch, context_tokens)
    time = estimate.decode_step_time(many.group, batch, context_tokens)
    first, prompt_read = steps_apart.prefill_work(one.group, prompt_tokens)
    first_time = estimate.prefill_time(one.group, prompt_tokens)
    points = pd.DataFrame({
        "what": ["decode"] * len(BATCHES) + ["at the dials", "prefill"],
        "words": [*(phrases.users(n) for n in batch), f"prompt of {number(prompt_tokens)} tokens"],
        "room": [*(batch <= room), room >= 1],
        "intensity": [*(work / read), *(first / prompt_read)],
        "rate": [*(work / time), *(first / first_time)],
    })  # fmt: skip
    points = points[~((points["what"] == "decode") & points["words"].eq(phrases.users(users)))]
    bandwidth, peak, _ = steps_apart.roof(one.group)
    points["roof"] = np.minimum(peak[0], bandwidth[0] * points["intensity"])
    return points.assign(share=100 * points["rate"] / points["roof"]).reset_index(drop=True)


def parts_chart(
    model: str, server: str, weight_format: str, split: int, users: int, context_tokens: int
) -> display.Drawing:
    """Where the time of a decode step goes."""
    one = where.deployment(model, server, weight_format, split)
    engine = serving.MOST_SEQUENCES[one.table["engine"].iloc[0]]
    batch = np.unique([*(n for n in BATCHES if n < engine), engine, users])
    many = _repeated(one, len(batch)).group
    apart = pd.DataFrame(steps_apart.decode_parts(many, batch, context_tokens)) * 1e3
    total = apart.sum(axis=1)
    steps = [phrases.users(n) for n in batch]
    rows = pd.concat([
        pd.DataFrame({"place": range(len(batch)), "step": steps, "part": PARTS[name],
                      "order": order, "time": apart[name], "share": 100 * apart[name] / total})
        for order, name in enumerate(PARTS)
    ])  # fmt: skip
    totals = pd.DataFrame({
        "place": range(len(batch)), "step": steps, "time": total,
        "words": [f"{figure(time)} ms" for time in total],
    })  # fmt: skip
    now = int(np.flatnonzero(batch == users)[0])
    row = where.alone(model, server, weight_format, split, context_tokens)
    said = "; ".join(f"{PARTS[name]} {figure(apart[name][now])} ms" for name in PARTS)
    return display.drawing(
        speed_charts.parts(),
        {"parts": rows, "totals": totals},
        f"{_title(model, weight_format, server, one)}: a step by users at once, "
        f"{number(context_tokens)} tokens each{_missing(row)}",
        f"Time of a step. With {steps[now]}: {said}.",
    )


def answer(
    model: str, server: str, weight_format: str, split: int, users: int, prompt_tokens: int,
    context_tokens: int,
) -> display.Shown:  # fmt: skip
    """The question of the notebook, answered."""
    one = where.deployment(model, server, weight_format, split)
    row = one.at(users, prompt_tokens, context_tokens).iloc[0]
    if not row["fits"]:
        what = f"{_title(model, weight_format, server, one)} with {phrases.users(users)}"
        size = figure(-row["free_bytes"] / 1e9)
        unit = where.unit(row)
        return display.text(NO_SPEED.format(what=what, size=size, unit=unit, remedy=REMEDY))
    apart = steps_apart.decode_parts(one.group, users, context_tokens)
    part = max(apart, key=lambda name: apart[name][0])
    work, read = steps_apart.decode_work(one.group, users, context_tokens)
    bandwidth, _, own = steps_apart.roof(one.group)
    intensity, ridge = float(work[0] / read[0]), float(own[0] / bandwidth[0])
    step, engine = 1 / row["speed"], serving.MOST_SEQUENCES[row["engine"]]
    wait = WAIT.format(most=engine) if users > engine else ""
    bound = "memory-bound" if intensity < ridge else "compute-bound"
    shown = {name: figure(row[field]) for name, field in {
        "speed": "speed", "low": "speed_low", "high": "speed_high", "limit": "speed_limit",
        "total": "total",
    }.items()}  # fmt: skip
    times = {name: f"{figure(row[name])} s" for name in ("ttft", "ttft_low", "ttft_high")}
    return display.text(WHOLE.format(
        model=load().models[model].name, format=weight_format, machine=where.names()[server],
        users="one user" if users == 1 else f"each of {phrases.users(users)}",
        prompt=number(prompt_tokens), step=figure(1e3 * step),
        part=PARTS[part], share=100 * apart[part][0] / step, intensity=figure(intensity),
        ridge=figure(ridge), bound=bound, advice=ADVICE[part] + wait, **shown, **times,
    ))  # fmt: skip
