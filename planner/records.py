"""
Frozen records of the data files, in SI: what a model, a device, a server, a price or a claim is.

Units, files and references between files are ``planner.catalogue``'s; the relations that hold
within one row are checked here, whoever makes the record.
"""

import datetime
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from planner import architecture

# Units of claims that are not SI, and their factor. [1]
CLAIM_SCALE = {"GB": 1e9, "GiB": 2.0**30, "1e9": 1e9, "%": 0.01, "USD/1K tokens": 1e-3}


def _date(text: str) -> str:
    """Accept ``YYYY``, ``YYYY-MM`` and ``YYYY-MM-DD``."""
    if not re.fullmatch(r"\d{4}(-\d{2}){0,2}", text, re.ASCII):
        raise ValueError("is not a date; write YYYY, YYYY-MM or YYYY-MM-DD")
    try:
        datetime.date.fromisoformat(text + "-01-01"[: 10 - len(text)])
    except ValueError:
        raise ValueError(
            "is not a day of the calendar; write YYYY, YYYY-MM or YYYY-MM-DD"
        ) from None
    return text


Text = Annotated[str, Field(min_length=1)]
Date = Annotated[str, AfterValidator(_date)]
# Above any quantity here in SI, and far below where a product of a few overflows.
MOST = 1e24
Number = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Grade = Literal["A", "B", "C"]


class Record(BaseModel):
    """A frozen row of a data file; equal ids mean one record, so it can key a cache."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __hash__(self) -> int:
        return hash((type(self), next(iter(self.__dict__.values()))))

    def faults(self) -> Iterator[tuple[str, str]]:
        """Relations between fields that do not hold, as (field, what is wrong and what to do)."""
        return iter(())

    @model_validator(mode="after")
    def _relations(self):
        faults = list(self.faults())
        if faults:
            message = "; ".join(f"{field}: {text}" for field, text in faults)
            raise PydanticCustomError("relation", message, {"faults": faults})
        return self


def _order(record: Record, *fields: str) -> Iterator[tuple[str, str]]:
    """Faults of fields that must not decrease from left to right."""
    for low, high in pairwise(fields):
        smaller, larger = getattr(record, low), getattr(record, high)
        if smaller is not None and larger is not None and smaller > larger:
            yield low, f"is above {high}; make {' <= '.join(fields)}"


class Score(Record):
    """A benchmark result, in percent unless it is an index."""

    benchmark: Text
    value: Number
    harness: str = ""
    source: Text


class Model(Record):
    """An open model: published configuration, size, licence and benchmark results."""

    id: Text
    name: Text
    config: dict[str, Any]
    native_format: Text
    total_parameters: Positive
    active_parameters: Positive
    vision_parameters: Number = 0.0
    mtp_parameters: Number | None = None
    license: Text
    released: Date
    context: Annotated[int, Field(gt=0)]
    context_note: str = ""
    scores: tuple[Score, ...] = ()
    source: Text
    source_date: Date
    instruct: bool

    def faults(self):
        yield from _order(self, "active_parameters", "total_parameters")

    @cached_property
    def architecture(self) -> "architecture.Architecture":
        """Tensors and caches read from the configuration."""
        return architecture.read(
            self.config,
            vision_parameters=int(self.vision_parameters),
            mtp_parameters=None if self.mtp_parameters is None else int(self.mtp_parameters),
        )

    def score(self, benchmark: str) -> Score | None:
        """
        Result in a benchmark, from the one common harness where there is one.

        Parameters
        ----------
        benchmark : str
            Name as in ``data/models.json``, such as ``livecodebench``. [1]

        Returns
        -------
        score : Score or None
            The Artificial Analysis value first, else the first other one. [1]
        """
        found = [score for score in self.scores if score.benchmark == benchmark]
        found.sort(key=lambda score: score.harness != "Artificial Analysis")
        return found[0] if found else None


class Device(Record):
    """An accelerator, or one CPU socket. Dense peaks only, never sparse ones."""

    id: Text
    vendor: Text
    name: Text
    kind: Literal["gpu", "cpu", "apu"]
    memory: Positive | None = None
    usable_memory: Positive | None = None
    bandwidth: Positive
    peak: dict[Literal["fp32", "bf16", "fp16", "fp8", "int8", "fp4"], Positive]
    cores: Annotated[int, Field(gt=0)] | None = None
    isa: str = ""
    tdp: Positive | None = None
    link: Literal["nvlink", "pcie", "none", "other"]
    link_bandwidth: Positive | None = None
    link_text: str = ""
    year: Annotated[int, Field(ge=1990, le=2100)]
    grade: Grade
    source: Text
    source_date: Date
    notes: str = ""

    def faults(self):
        yield from _order(self, "usable_memory", "memory")
        bf16, fp8 = self.peak.get("bf16"), self.peak.get("fp8")
        if bf16 and fp8 and bf16 > fp8:
            yield "peak.bf16", "is above the fp8 peak; one of the two is wrong or sparse"
        if self.kind == "cpu" and not self.cores:
            yield "cores", "is empty for a CPU; write the cores of one socket"
        if self.kind != "cpu" and not self.memory:
            yield "memory", "is empty for an accelerator; write its label memory"


class Server(Record):
    """A machine that can be bought, with its price on a date."""

    id: Text
    name: Text
    kind: Literal["cpu", "gpu", "unified"]
    device: Text
    devices: Annotated[int, Field(gt=0)]
    sockets: Annotated[int, Field(gt=0)]
    memory: Positive
    memory_channels_note: str = ""
    price: Positive
    price_low: Positive
    price_high: Positive
    currency: Currency
    price_date: Date
    price_status: Literal["quote", "estimate", "assumption", "claim"]
    power_idle: Positive
    power_load: Positive
    rack_units: Count
    lead_time_weeks_low: Number
    lead_time_weeks_high: Number
    includes: str = ""
    source: Text
    source_date: Date
    grade: Grade
    note: str = ""

    def faults(self):
        yield from _order(self, "price_low", "price", "price_high")
        yield from _order(self, "power_idle", "power_load")
        yield from _order(self, "lead_time_weeks_low", "lead_time_weeks_high")
        if self.kind == "cpu" and self.devices != self.sockets:
            yield "devices", "differs from sockets; a CPU server has one device per socket"


class ApiPrice(Record):
    """
    Price of a hosted model per token; ``model_id`` names the open model it serves, if any.

    Where a provider asks more in some hours, the prices are those of the other hours.
    """

    id: Text
    provider: Text
    model_id: str = ""
    input: Number
    output: Number
    cached_input: Number | None = None
    peak_factor: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = 1.0
    peak_hours: Annotated[float, Field(ge=0, le=24, allow_inf_nan=False)] = 0.0
    currency: Currency
    source: Text
    source_date: Date
    note: str = ""

    def faults(self):
        yield from _order(self, "cached_input", "input")


class Rental(Record):
    """Hourly price of one rented accelerator."""

    id: Text
    device: Text
    tier: Literal["long-tail", "specialty", "hyperscaler", "median"]
    price: Positive
    price_low: Positive
    price_high: Positive
    currency: Currency
    source: Text
    source_date: Date
    note: str = ""

    def faults(self):
        yield from _order(self, "price_low", "price", "price_high")


class EngineOption(Record):
    """An option of an engine's command, and where its documentation was read."""

    id: Text
    engine: Text
    tool: Text
    option: Annotated[str, Field(pattern=r"^--?[a-z][a-z0-9-]*$")]
    since: str = ""
    source: Text
    source_date: Date

    def faults(self):
        if self.id != f"{self.engine}:{self.tool}:{self.option}":
            yield "id", f"is not {self.engine}:{self.tool}:{self.option}; make it so"


class Assumption(Record):
    """A general figure with its range, either sourced or openly assumed."""

    key: Text
    value: Number
    low: Number
    high: Number
    unit: Text
    status: Literal["sourced", "assumption"]
    source: Text
    source_date: Date
    note: str = ""

    def faults(self):
        yield from _order(self, "low", "value", "high")


class Claim(Record):
    """A published figure to be judged; ``low`` to ``high`` in ``unit``, or ``value_text``."""

    id: Text
    model_id: str = ""
    metric: Text
    low: Number | None = None
    high: Number | None = None
    value_text: str = ""
    unit: Text
    server: str = ""
    device: str = ""
    sockets: Count | None = None
    weight_format: str = ""
    users: Count | None = None
    context_tokens: Count | None = None
    output_tokens: Count | None = None
    conditions: str = ""
    source: Text
    source_date: Date
    where: Text

    def faults(self):
        yield from _order(self, "low", "high")
        if (self.low is None) != (self.high is None):
            yield (
                "high",
                "stands alone; write both low and high, equal for a point",
            )
        if (self.low is None) == (self.value_text == ""):
            yield "value_text", "must be given instead of low and high, and never beside them"

    @property
    def scale(self) -> float:
        """Factor from ``unit`` to SI (GB to B, 1e9 to 1, per 1K tokens to per token). [1]"""
        return CLAIM_SCALE.get(self.unit, 1.0)


class Published(Record):
    """A figure of a vendor, paper or data set that a claim is compared with; as in `Claim`."""

    id: Text
    subject: Text
    metric: Text
    low: Number | None = None
    high: Number | None = None
    value_text: str = ""
    unit: Text
    source: Text
    source_date: Date
    grade: Grade
    note: str = ""

    def faults(self):
        yield from _order(self, "low", "high")
        if (self.low is None) == (self.value_text == ""):
            yield "value_text", "must be given instead of low and high, and never beside them"
        if self.id != f"{self.subject}:{self.metric}":
            yield "id", f"is not {self.subject}:{self.metric}; make it so"
