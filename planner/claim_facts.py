"""Claims about what a vendor publishes: sizes, training, context, dates, licences, scores.

Each check takes a claim and the catalogue and returns a `verdicts.Finding` in the claim's unit.
"""

from __future__ import annotations

from planner.catalogue import Catalogue, Claim, Model, Published
from planner.phrases import day
from planner.verdicts import TOLERANCE, Finding, agrees, brief, compared, span, unchecked

PROBLEMS = {"humaneval": 164}  # arXiv 2107.03374, section 2.2
INDEPENDENT = "Artificial Analysis"  # measures by its own harness, not as vendors do


def subject(claim: Claim) -> str:
    """What a claim is about: a model, a device, a format, or the last part of its id."""
    return claim.model_id or claim.device or claim.weight_format or claim.id.rsplit(".")[-1]


def better(claim: Claim, catalogue: Catalogue, metric: str = "") -> Published | None:
    """A published figure about the same subject."""
    return catalogue.published.get(f"{subject(claim)}:{metric or claim.metric}")


def published(claim: Claim, catalogue: Catalogue) -> Finding:
    """Against the figure of `data/published.csv`."""
    other = better(claim, catalogue)
    if other is None:
        return unchecked("no better-sourced figure was found")
    source = f"{other.source}, {other.source_date}"
    if other.value_text:
        same = claim.value_text == other.value_text
        words = f"published: {other.value_text}" + (f"; {other.note}" if other.note else "")
        return Finding("consistent" if same else "off", words, text=other.value_text, source=source)
    shown = span(other.low, other.high, other.unit)
    words = f"published: {shown}" + (f"; {other.note}" if other.note else "")
    middle = (other.low + other.high) / 2
    rounding = 1e-3 if claim.metric.startswith("score_") else TOLERANCE
    ends = {"low": other.low, "high": other.high, "tolerance": rounding}
    return compared(claim, middle, words, source, **ends)


def _model(claim, catalogue) -> tuple[Model, str]:
    model = catalogue.models[claim.model_id]
    return model, f"{brief(model.source)}, {model.source_date}"


def parameters(claim: Claim, catalogue: Catalogue) -> Finding:
    """Total or active parameters."""
    if claim.model_id not in catalogue.models:
        return published(claim, catalogue)
    model, source = _model(claim, catalogue)
    if claim.metric == "active_parameters":
        value = model.active_parameters / claim.scale
        return compared(claim, value, f"the vendor publishes {value:,.4g} billion", source)
    high = model.total_parameters / claim.scale
    value = high - model.architecture.parameters.get("mtp", 0) / claim.scale
    words = f"the files hold {high:,.4g} billion"
    if value < high:
        words = f"{value:,.4g} billion, {high:,.4g} with the layers for multi-token prediction"
    return compared(claim, value, words, source, low=value, high=high)


def shape(claim: Claim, catalogue: Catalogue) -> Finding:
    """Experts and heads of the published configuration."""
    model, source = _model(claim, catalogue)
    if claim.metric == "kv_heads":
        value = model.architecture.caches[0].kv_heads
    else:
        value = getattr(model.architecture, claim.metric)
    return compared(claim, value, f"{value} in the configuration", source)


def context(claim: Claim, catalogue: Catalogue) -> Finding:
    """Context as configured; where the vendor states another one, that is meant."""
    model, source = _model(claim, catalogue)
    native = model.context
    stated = better(claim, catalogue, "context_stated")
    extended = better(claim, catalogue, "context_yarn")
    if claim.metric == "context_yarn":
        return published(claim, catalogue)
    if stated:
        words = f"the vendor states {stated.low:,.0f} tokens"
        return compared(claim, stated.low, words, f"{stated.source}, {stated.source_date}")
    if extended and agrees(claim, extended.low, extended.high):
        words = f"{extended.low:,.0f} tokens with YaRN switched on; {native:,} as it is delivered"
        source = f"{extended.source}, {extended.source_date}"
        return Finding("consistent", words, extended.low, native, extended.high, source=source)
    return compared(claim, native, f"{native:,} tokens in the configuration", source)


def active_ratio(claim: Claim, catalogue: Catalogue) -> Finding:
    """Active parameters of QwQ-32B, which is dense, over those of a mixture of experts."""
    other = catalogue.published["qwq-32b:parameters"]
    model, _ = _model(claim, catalogue)
    low, high = (1e9 * end / model.active_parameters for end in (other.low, other.high))
    words = f"{span(other.low, other.high, '1e9')} over {model.active_parameters / 1e9:.3g} billion"
    source = f"{other.source}, {other.source_date}"
    return compared(claim, (low + high) / 2, words, source, low=low, high=high)


def release(claim: Claim, catalogue: Catalogue) -> Finding:
    """When a model appeared."""
    model, source = _model(claim, catalogue)
    same = model.released.startswith(claim.value_text)
    words = f"released {day(model.released)}"
    return Finding("consistent" if same else "off", words, text=model.released, source=source)


def license_of(claim: Claim, catalogue: Catalogue) -> Finding:
    """Under which licence the weights are."""
    model, source = _model(claim, catalogue)
    same = model.license.lower() == claim.value_text.lower()
    words = f"the licence is {model.license}"
    return Finding("consistent" if same else "off", words, text=model.license, source=source)


def edition(claim: Claim, catalogue: Catalogue) -> Finding:
    """A text cannot be older than what it describes."""
    names = dict.fromkeys(c.model_id for c in catalogue.claims if c.model_id and
                          c.source == claim.source)  # fmt: skip
    models = sorted((catalogue.models[name] for name in names), key=lambda model: model.released)
    later = [m for m in models if m.released[: len(claim.value_text)] > claim.value_text]
    last = models[-1]
    words = f"the latest model that it describes, {last.name}, appeared {day(last.released)}"
    if later:
        names = " and ".join(model.name for model in later)
        words = f"it describes {names}, which appeared later: the last on {day(last.released)}"
    found = {"text": last.released, "source": f"{brief(last.source)}, {last.source_date}"}
    return Finding("impossible" if later else "consistent", words, **found)


def score(claim: Claim, catalogue: Catalogue) -> Finding:
    """Benchmark results, against every published one of that benchmark."""
    model = catalogue.models[claim.model_id]
    name = claim.metric.removeprefix("score_")
    found = [result for result in model.scores if result.benchmark == name]
    if not found:
        return published(claim, catalogue)
    vendor = [result for result in found if result.harness != INDEPENDENT] or found
    values = [result.value for result in found]
    value, low, high = vendor[0].value, min(values), max(values)
    words = f"published: {value:g}" + (f" ({low:g} to {high:g} by source)" if low < high else "")
    # a score is copied, not measured: it agrees to the last digit or it is another one
    same = any(abs(claim.low - published) < 0.05 for published in values)
    problems = PROBLEMS.get(name)
    if problems and all(abs(claim.low - 100 * n / problems) > 0.05 for n in range(problems + 1)):
        words += f"; no whole number of its {problems} problems gives {claim.low:g} %"
    source = f"{brief(vendor[0].source)}, {model.source_date}"
    return Finding("consistent" if same else "off", words, value, low, high, source=source)
