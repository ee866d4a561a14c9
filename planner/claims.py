"""Published claims against the models: consistent, off by how much, or impossible, and why."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import catalogue as records
from planner import claim_facts as facts
from planner import claim_money as costs
from planner import claim_sizes as sizes
from planner import claim_speeds as speeds
from planner import contradictions, language
from planner.catalogue import Catalogue, Claim
from planner.verdicts import VERDICTS, Finding, unchecked

# What each metric is about, and the check that judges it.
CHECKS = {
    **dict.fromkeys(("parameters", "active_parameters"), ("model facts", facts.parameters)),
    **dict.fromkeys(("experts", "experts_per_token", "query_heads", "kv_heads"),
                    ("model facts", facts.shape)),
    **dict.fromkeys(("training_tokens", "languages", "programming_languages", "modes"),
                    ("model facts", facts.published)),
    **dict.fromkeys(("context", "context_yarn"), ("model facts", facts.context)),
    "active_ratio": ("model facts", facts.active_ratio),
    "license": ("model facts", facts.license_of),
    "release_date": ("dates", facts.release),
    **dict.fromkeys(("updated", "edition"), ("dates", facts.edition)),
    "memory_gb": ("memory and disk", sizes.memory),
    "disk_gb": ("memory and disk", sizes.disk),
    **dict.fromkeys(("fits_gb", "needs_gb"), ("what fits where", sizes.fits)),
    "decode_tok_s": ("speed", speeds.decode),
    "task_s": ("speed", speeds.task),
    "ttft_s": ("speed", speeds.first_token),
    "cores": ("speed", speeds.cores),
    "clock_ghz": ("speed", facts.published),
    **dict.fromkeys(("response_s", "tok_s_per_user"), ("users at once", speeds.together)),
    "memory_saving": ("quantisation", sizes.saving),
    "quality_loss": ("quantisation", facts.published),
    "speed_gain": ("quantisation", speeds.gain),
    "price": ("cost", costs.price),
    **dict.fromkeys(("monthly_cost", "own_cost_per_year"), ("cost", costs.owning)),
    **dict.fromkeys(("api_cost_per_100k_calls", "api_cost_per_year"), ("cost", costs.api_sum)),
    "break_even_calls_per_day": ("cost", costs.break_even),
}  # fmt: skip
SCORES = ("scores", facts.score)
KINDS = tuple(dict.fromkeys([kind for kind, _ in CHECKS.values()] + [SCORES[0]]))


def audit(
    catalogue: Catalogue | None = None,
    models: tuple[str, ...] = (),
    metrics: tuple[str, ...] = (),
) -> pd.DataFrame:
    """
    Check every claim of the catalogue that there is a way to check.

    Parameters
    ----------
    catalogue : Catalogue, optional
        By default the one in ``data/``.
    models, metrics : tuple of str
        Only claims about these; empty: all claims.

    Returns
    -------
    verdicts : DataFrame
        id, kind, model_id, metric, claimed_low, claimed_high, claimed_text, unit; predicted,
        predicted_low, predicted_high, predicted_text (the computed or better-sourced value, in
        the unit of the claim), limit (the best that physics allows), limit_4_bits (the
        same in 4 bits, for speeds whose format is assumed), factor (claimed over
        predicted, of the middles), verdict (one of `VERDICTS`), reason, better_source,
        contradicts (ids of other claims of the same text), source, where. A claim that
        contradicts another one keeps the verdict ``impossible`` or ``consistent`` where it has
        it.
    """
    catalogue = catalogue or records.load()
    rows = [
        _row(claim, catalogue)
        for claim in catalogue.claims
        if (not models or claim.model_id in models) and (not metrics or claim.metric in metrics)
    ]
    return pd.DataFrame(rows)


def _check(claim):
    if claim.metric.startswith("score_"):
        return SCORES
    return CHECKS.get(claim.metric, ("other", None))


def _judge(claim: Claim, catalogue: Catalogue) -> Finding:
    check = _check(claim)[1]
    if check is None:
        return unchecked("no way to check it from what is stated")
    return check(claim, catalogue)


_known: tuple[Catalogue | None, dict, dict] = (None, {}, {})


def _row(claim, catalogue):
    """A claim and what it was found to be, which is kept for one catalogue, in each language."""
    global _known
    if _known[0] is not catalogue:
        _known = catalogue, _against(catalogue), {}
    _, against, rows = _known
    key = claim.id, language.current()
    if key not in rows:
        rows[key] = _judged(claim, _judge(claim, catalogue), against.get(claim.id, {}))
    return rows[key]


def _against(catalogue):
    """Of each claim that contradicts others: their ids, and why."""
    against = {}
    for row in contradictions.found(catalogue).itertuples():
        for name in row.ids:
            others = against.setdefault(name, {})
            others |= {other: row.reason for other in row.ids if other != name}
    return against


def _judged(claim, finding, others):
    verdict, reason = finding.verdict, finding.reason
    if others and verdict in ("off", "not checked"):
        verdict = "contradicts itself"
        reason = "; ".join([*dict.fromkeys(others.values()), reason])
    claimed = np.nan if claim.low is None else (claim.low + claim.high) / 2
    return {
        "id": claim.id,
        "kind": _check(claim)[0],
        "model_id": claim.model_id,
        "metric": claim.metric,
        "claimed_low": claim.low,
        "claimed_high": claim.high,
        "claimed_text": claim.value_text,
        "unit": claim.unit,
        "predicted": finding.value,
        "predicted_low": finding.low,
        "predicted_high": finding.high,
        "predicted_text": finding.text,
        "limit": finding.limit,
        "limit_4_bits": finding.limit_4_bits,
        "factor": claimed / finding.value,
        "verdict": verdict,
        "reason": reason,
        "better_source": finding.source,
        "contradicts": tuple(others),
        "source": claim.source,
        "where": claim.where,
    }


def counts(verdicts: pd.DataFrame) -> pd.DataFrame:
    """
    How many claims of each kind got which verdict.

    Parameters
    ----------
    verdicts : DataFrame
        From `audit`.

    Returns
    -------
    counts : DataFrame
        A row per kind, in the order of `KINDS`, a column per verdict, and claims (all). [1]
    """
    table = pd.crosstab(verdicts["kind"], verdicts["verdict"])
    order = [kind for kind in (*KINDS, "other") if kind in table.index]
    table = table.reindex(index=order, columns=list(VERDICTS), fill_value=0)
    return table.assign(claims=table.sum(axis=1)).rename_axis(columns=None).reset_index()


def text(verdicts: pd.DataFrame) -> str:
    """
    An audit for the terminal.

    Parameters
    ----------
    verdicts : DataFrame
        From `audit`.

    Returns
    -------
    text : str
    """
    lines = []
    order = verdicts["verdict"].map(VERDICTS.index).sort_values(kind="stable").index
    for row in verdicts.loc[order].itertuples():
        claimed = row.claimed_text or f"{row.claimed_low:g} to {row.claimed_high:g} {row.unit}"
        if row.claimed_low == row.claimed_high:
            claimed = f"{row.claimed_low:g} {row.unit}"
        factor = f"x {row.factor:.2g}" if row.factor == row.factor else ""
        lines.append(f"{row.verdict:<19}{row.id:<46}{claimed:<24}{factor:<8}{row.reason}")
    table = counts(verdicts)
    lines += ["", f"{'':<18}" + "".join(f"{name:>20}" for name in (*VERDICTS, "claims"))]
    for row in table.itertuples(index=False):
        lines.append(f"{row[0]:<18}" + "".join(f"{number:>20}" for number in row[1:]))
    found = verdicts["verdict"].value_counts()
    total = ", ".join(f"{found.get(name, 0)} {name}" for name in VERDICTS)
    return "\n".join([*lines, f"{len(verdicts)} claims: {total}"])
