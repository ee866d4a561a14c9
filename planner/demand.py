"""What a team asks: how many calls, how long, and how they come."""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from planner import reading, traces
from planner.concurrency import peak_rate

Finite = Annotated[float, Field(allow_inf_nan=False)]
# Whatever is added up or multiplied stays far from the largest number that a computer has.
MOST = 1e12
LEAST = 1e-6  # of what is divided by
Positive = Annotated[Finite, Field(ge=LEAST, le=MOST)]
NotNegative = Annotated[Finite, Field(ge=0, le=MOST)]
Share = Annotated[Finite, Field(ge=0, le=1)]


def _one_line(text: str) -> str:
    # control characters, and what separates lines or paragraphs
    if any(unicodedata.category(sign) in ("Cc", "Zl", "Zp") for sign in text):
        raise ValueError("must be one line without control characters; remove them")
    if not any(sign.isprintable() and not sign.isspace() for sign in text):
        raise ValueError("shows nothing; write words")
    return text


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Names = Annotated[tuple[Line, ...], Field(max_length=500)]


class TeamError(ValueError):
    """A team file that cannot be used; the message names file, field, value and remedy."""


class Part(BaseModel):
    """One table of a team file: unknown keys are refused, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Independent(Part):
    """Calls that know nothing of each other: Poisson arrivals."""

    kind: Literal["independent"] = "independent"


class Bursty(Part):
    """Calls in bursts: gamma gaps with a coefficient of variation above 1."""

    kind: Literal["bursty"]
    variation: Annotated[Finite, Field(gt=1, le=20)]


class Trace(Part):
    """Calls as they were logged; the file lies beside the team's. See `traces`."""

    kind: Literal["trace"]
    file: Line
    _calls: traces.Calls | None = PrivateAttr(None)  # what `read` found in the file

    @property
    def calls(self) -> traces.Calls:
        """The calls of the file."""
        if self._calls is None:
            raise TeamError(f"workload.arrivals.file: {self.file!r} was not read; use team.read")
        return self._calls


class Users(Part):
    """Users who each wait for the answer and think before they ask again. [s]"""

    kind: Literal["users"]
    think_time: Annotated[Finite, Field(ge=0, le=86_400)]


class Sessions(Part):
    """Agents whose prompt grows turn by turn. [token, s]"""

    kind: Literal["sessions"]
    turns: Annotated[int, Field(ge=2, le=1000)]
    first_prompt_tokens: Annotated[Finite, Field(ge=1, le=10_000_000)]
    system_tokens: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    pause: Annotated[Finite, Field(ge=0, le=86_400)]


KINDS = {
    "independent": Independent, "bursty": Bursty, "trace": Trace, "users": Users,
    "sessions": Sessions,
}  # fmt: skip
Arrivals = Annotated[Independent | Bursty | Trace | Users | Sessions, Field(discriminator="kind")]


class Workload(Part):
    """The load: who calls, how often, with how many tokens. [call/day, token]"""

    users: Annotated[int, Field(gt=0, le=10_000_000)]
    calls_per_day: Annotated[Finite, Field(ge=LEAST, le=1e9)]
    busiest_hour_share: Annotated[Finite, Field(ge=1 / 24, le=1)]
    days_per_year: Annotated[int, Field(ge=1, le=366)] = 365
    prompt_tokens: Annotated[Finite, Field(ge=1, le=10_000_000)]
    output_tokens: Annotated[Finite, Field(ge=2, le=1_000_000)]
    variation: Annotated[Finite, Field(ge=0, le=5)] = 1.0
    context_tokens: Annotated[int, Field(ge=16, le=10_000_000)]
    cached_prompt_share: Annotated[Finite, Field(ge=0, lt=1)] = 0.0
    # Share of the calls in the hours in which an API asks its peak price, where it has one.
    peak_price_share: Share | None = None

    arrivals: Arrivals = Independent()
    hourly: Annotated[tuple[NotNegative, ...], Field(min_length=24, max_length=24)] | None = None

    @model_validator(mode="after")
    def profile_agrees_with_its_busiest_hour(self):
        if self.hourly is not None:
            whole = sum(self.hourly)
            share = max(self.hourly) / whole if whole > 0 else math.nan
            if not abs(share - self.busiest_hour_share) < 0.005:
                raise ValueError(
                    f"busiest_hour_share: {self.busiest_hour_share:g}, but the largest of hourly "
                    f"is {share:.3g} of their sum; correct one of them"
                )
        return self

    @model_validator(mode="after")
    def session_adds_up(self):
        turn = self.arrivals
        if not isinstance(turn, Sessions):
            return self
        if "cached_prompt_share" in self.model_fields_set:
            raise ValueError(
                "cached_prompt_share: follows from the session (each turn finds the turns before "
                "it in the cache, as long as they are not overwritten); remove it"
            )
        if self.session_growth < 0 or turn.system_tokens > turn.first_prompt_tokens:
            most = self.prompt_tokens - (turn.turns - 1) / 2 * self.output_tokens
            raise ValueError(
                f"arrivals.first_prompt_tokens: {turn.first_prompt_tokens:g} does not lead to "
                f"prompts of {self.prompt_tokens:g} tokens in the mean over {turn.turns} turns "
                f"that each add an answer; give {turn.system_tokens:g} to {most:.0f}"
            )
        fresh = turn.first_prompt_tokens - turn.system_tokens
        fresh += (turn.turns - 1) * self.session_growth
        share = 1 - fresh / (turn.turns * self.prompt_tokens)
        object.__setattr__(self, "cached_prompt_share", min(max(share, 0.0), 0.999))
        return self

    @property
    def session_growth(self) -> float:
        """What a turn of a session adds besides the answer before it. [token]"""
        turn = self.arrivals
        grown = 2 * (self.prompt_tokens - turn.first_prompt_tokens) / (turn.turns - 1)
        return grown - self.output_tokens

    @model_validator(mode="after")
    def fits_its_own_context(self):
        if self.prompt_tokens + self.output_tokens > self.context_tokens:
            raise ValueError(
                f"context_tokens: {self.context_tokens} is less than prompt_tokens + output_tokens "
                f"= {self.prompt_tokens + self.output_tokens:g}; raise context_tokens"
            )
        return self

    @property
    def busiest_hour_rate(self) -> float:
        """Calls per second in the busiest hour. [1/s]"""
        return float(peak_rate(self.calls_per_day, self.busiest_hour_share))


def attach_trace(load: Workload, path: Path) -> None:
    """
    Find the trace of a workload and see that both agree.

    Parameters
    ----------
    load : Workload
        With arrivals of kind trace.
    path : Path
        The team's file; the trace lies beside it.

    Raises
    ------
    TeamError
        With file, field, value and remedy.
    """
    where = reading.quoted(path.name)
    field = f"{where}, field workload.arrivals.file"
    name = load.arrivals.file
    if Path(name).name != name or not name.endswith(".csv"):
        raise TeamError(
            f"{field}: {name[:80]!r}: name a .csv file that lies beside the team's file"
        )
    try:
        calls = traces.read(path.resolve().parent / name)
    except traces.TraceError as error:
        raise TeamError(f"{field}: {error}") from None
    join_trace(load, calls, f"{where}, ")


def join_trace(load: Workload, calls: traces.Calls, where: str = "") -> None:
    """
    Give a workload the calls of its trace, once both agree.

    Parameters
    ----------
    load : Workload
        With arrivals of kind trace.
    calls : traces.Calls
        Read from its file.
    where : str
        Begin of what is said where they do not.

    Raises
    ------
    TeamError
        With field, value and remedy.
    """
    name = load.arrivals.file
    for what, tokens in (("prompt_tokens", calls.prompt), ("output_tokens", calls.output)):
        stated, mean = getattr(load, what), float(tokens.mean())
        if not abs(stated / mean - 1) <= 0.1:
            raise TeamError(
                f"{where}field workload.{what}: {stated:g}, but the mean of {name} is "
                f"{mean:.0f}; give the mean of the trace"
            )
    longest = int((calls.prompt + calls.output).max())
    if longest > load.context_tokens:
        raise TeamError(
            f"{where}field workload.context_tokens: {load.context_tokens}, but the longest "
            f"call of {name} has {longest} tokens; raise it"
        )
    load.arrivals._calls = calls
