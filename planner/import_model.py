"""Turn a downloaded ``config.json`` into a record for ``data/models.json``, with its count."""

import json
from pathlib import Path

import pandas as pd

from planner import architecture

VISION_NOTE = "the rest is probably a vision tower: set vision_parameters"


def text_config(config):
    """
    The language model's part of a config, which multimodal models nest.

    Parameters
    ----------
    config : Mapping
        As published.

    Returns
    -------
    dict
        The nested ``text_config`` where there is one; the embedding tie stated outside is kept.

    References
    ----------
    .. [1] Hugging Face transformers, composite configurations.
    """
    nested = config.get("text_config") or config.get("llm_config")
    if not nested:
        return dict(config)
    outside = {k: config[k] for k in ("tie_word_embeddings",) if k in config and k not in nested}
    return {**outside, **nested}


def count(config, stated_total=None):
    """
    Parameters by part, and how far their sum is from a stated total.

    Parameters
    ----------
    config : Mapping
        As published.
    stated_total : float, optional
        Total of the checkpoint, as its page states. [parameter]

    Returns
    -------
    DataFrame
        Columns ``part``, ``parameters``, ``share_pct``; the last rows are the sums. [parameter]

    References
    ----------
    .. [1] ``planner.architecture``.
    """
    shape = architecture.read(text_config(config))
    rows = [*shape.parameters.items(), ("total", shape.total_parameters)]
    rows.append(("active per token", shape.active_parameters))
    if stated_total:
        rows += [("stated", stated_total), ("stated - counted", stated_total - rows[-2][1])]
    table = pd.DataFrame(rows, columns=["part", "parameters"])
    table["share_pct"] = (100 * table["parameters"] / shape.total_parameters).round(3)
    return table


def import_model(config_path, stated_total=None):
    """
    Text for a person to check: the count, and a record to complete and add.

    Parameters
    ----------
    config_path : Path
        A ``config.json``. [1]
    stated_total : float, optional
        Total of the checkpoint, as its page states. [parameter]

    Returns
    -------
    str
        A table and a JSON record; nothing is written.

    References
    ----------
    .. [1] ``planner.architecture``.
    """
    try:
        config = json.loads(Path(config_path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{config_path} is not JSON ({error}); take the config.json of the model's page"
        ) from None
    if not isinstance(config, dict):
        raise ValueError(f"{config_path} holds no object; take the config.json of the model's page")
    shape = architecture.read(text_config(config))
    lines = [count(config, stated_total).to_string(index=False, float_format="{:,.3f}".format)]
    rest = int(stated_total or 0) - shape.total_parameters
    if stated_total and abs(rest) > 0.005 * stated_total:
        note = VISION_NOTE if rest > 0 and "vision_config" in config else "check the config"
        lines.append(
            f"The count is {100 * rest / stated_total:+.2f} % off the stated total; {note}."
        )
    record = {
        "id": config.get("_name_or_path") or "organisation/model",
        "name": "",
        "config": text_config(config),
        "native_format": "",
        "total_parameters": int(stated_total or shape.total_parameters),
        "active_parameters": shape.active_parameters,
        "vision_parameters": max(rest, 0) if stated_total and "vision_config" in config else 0,
        "mtp_parameters": None,
        "license": "",
        "released": "",
        "context": shape.max_position,
        "context_note": "",
        "instruct": True,
        "scores": [],
        "source": "",
        "source_date": "",
    }
    lines.append("Complete the empty fields and add this to data/models.json:")
    lines.append(json.dumps(record, indent=1))
    return "\n\n".join(lines)
