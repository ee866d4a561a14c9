"""Claims about speed: bounded by the bytes that every token reads, predicted with its band.

Each check takes a claim and the catalogue and returns a `verdicts.Finding` in the claim's unit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from planner import bands, crowd, estimate
from planner.catalogue import Catalogue, Claim, Device
from planner.claim_sizes import replica
from planner.language import say, term
from planner.verdicts import Finding, brief, compared, figure, unchecked

ENGINE = "llama.cpp"  # what runs fastest on CPUs; the guide's own engine needs newer ones
PROMPTS = (100, crowd.PROMPT, 1000)  # tokens of a prompt where none are stated
CONTEXT = 512  # tokens in the cache of a decode speed where none are stated
# formats of the same bits that the engine of CPUs reads
SMALLEST = "q4_0"  # the least that is claimed of any model here
SAME_BITS = {"int8-w8a8": "q8_0", "gptq-int4": "q4_0", "awq-int4": "q4_0"}
TOO_LARGE = "the weights take {weights:,.0f} GB in {format}; {server} has {memory:,.0f} GB"
TOO_FAST = (
    "the memory of the server allows {limit:.3g} {unit} at best: every token reads {read:,.1f} GB "
    "and its experts"
)
FOUR_BITS = "{words}; in 4 bits {limit:.3g} {unit}"
EXPECTED = "{low:.3g} to {high:.3g} {unit} are expected in {format}"


class _Machine:
    """The machine of a claim, with its model on it."""

    def __init__(self, claim: Claim, catalogue: Catalogue):
        server = catalogue.servers.get(claim.server)
        self.device: Device = catalogue.devices[server.device if server else claim.device]
        self.memory = server.memory if server else np.inf
        self.name = server.name if server else self.device.name
        self.sockets = server.sockets if server else claim.sockets or 1
        self.format, self.users = claim.weight_format or "bf16", claim.users or 1
        self.kind = (claim.model_id, self.device.id, ENGINE)
        self.group = replica(*self.kind, self.format, self.sockets)
        self.weights = self.group.profile.weight_bytes[0]
        self.source = f"computed; memory and cores: {brief(self.device.source)}, "
        self.source += self.device.source_date

    def floor(self, weight_format=""):
        """Shortest time of a token for one user, in another format too. [s]"""
        return _floor(*self.kind, weight_format or self.format, self.sockets)

    def smaller(self, limit, unit):
        """A limit if the weights had the fewest bits: the guide states no format of its speeds."""
        share = self.floor(SMALLEST) / self.floor()
        return limit * share if unit == "s" else limit / share

    def band(self, metric):
        """Factors from a predicted time to its fast and its slow end."""
        below, above = bands.band(metric, self.device.kind, ENGINE, self.device.id)
        return np.array([1.0, 1 / above, 1 / below])

    def step(self, context):
        """Time of a token: predicted, fast end, slow end; and its floor. [s]"""
        middle = float(estimate.decode_step_time(self.group, self.users, context)[0])
        floor = self.floor()
        return np.maximum(middle * self.band("decode_tok_s_per_seq"), floor), floor

    def first(self):
        """First token for the prompts of `PROMPTS`: predicted, fast end, slow end. [s]"""
        short, middle, long = (
            float(estimate.prefill_time(self.group, tokens)[0]) for tokens in PROMPTS
        )
        return np.array([middle, short, long]) * self.band("prefill_tok_s")

    def excluded(self):
        """Why the machine cannot run the model at all, or nothing."""
        if self.weights <= self.memory:
            return ""
        return say(
            TOO_LARGE, weights=self.weights / 1e9, format=self.format, server=term(self.name),
            memory=self.memory / 1e9,
        )  # fmt: skip


@lru_cache(maxsize=4096)
def _floor(*kind):
    return float(estimate.decode_step_time(replica(*kind).ideal(), 1, 0)[0])


def _placed(claim):
    return claim.server or claim.device


def decode(claim: Claim, catalogue: Catalogue) -> Finding:
    """Speed of one answer while it is written."""
    if not _placed(claim):
        return unchecked(say("the machine is not stated"))
    machine = _Machine(claim, catalogue)
    times, floor = machine.step(claim.context_tokens or CONTEXT)
    value, high, low = 1 / times
    figures = {"value": value, "low": low, "high": high, "limit": 1 / floor}
    return _judged(claim, machine, figures, claim.low > 1 / floor, "tok/s")


def task(claim: Claim, catalogue: Catalogue) -> Finding:
    """Time of an answer: first token and the tokens after it."""
    machine = _Machine(claim, catalogue)
    tokens = claim.output_tokens
    times, floor = machine.step(CONTEXT)
    value, low, high = times * tokens + machine.first()
    figures = {"value": value, "low": low, "high": high, "limit": floor * tokens}
    found = _judged(claim, machine, figures, claim.high < figures["limit"], "s")
    if found.verdict == "impossible":
        return found
    words = f"{figure(low)} to {figure(high)} s are expected with {_lengths()}"
    return found._replace(reason=words)


def _lengths():
    return f"prompts of {PROMPTS[0]} to {PROMPTS[-1]:,} tokens, none being stated"


def _judged(claim, machine, figures, excluded, unit):
    figures["source"] = machine.source
    too_large = machine.excluded()
    if too_large:
        return Finding("impossible", too_large, **figures)
    figures["limit_4_bits"] = machine.smaller(figures["limit"], unit)
    if excluded:
        read = machine.group.profile.dense_bytes[0] / 1e9
        words = say(TOO_FAST, limit=figures["limit"], unit=unit, read=read)
        limit = figures["limit_4_bits"]
        words = say(FOUR_BITS, words=words, limit=limit, unit=unit)
        return Finding("impossible", words, **figures)
    low, high = figures["low"], figures["high"]
    words = say(EXPECTED, low=low, high=high, unit=unit, format=machine.format)
    inside = claim.low <= high and claim.high >= low
    return Finding("consistent" if inside else "off", words, **figures)


def first_token(claim: Claim, catalogue: Catalogue) -> Finding:
    """Time to the first token for prompts of `PROMPTS`, none being stated."""
    machine = _Machine(claim, catalogue)
    value, low, high = machine.first()
    floor = machine.floor()
    lengths = np.geomspace(1, 4096, 200)
    times = np.array([float(estimate.prefill_time(machine.group, n)[0]) for n in lengths])
    read = [float(np.interp(end, times, lengths)) for end in (claim.low, claim.high)]
    words = (
        f"{figure(low)} to {figure(high)} s are expected for {_lengths()}; in the claimed time "
        f"the machine reads prompts of about {read[0]:.0f} to {read[1]:.0f} tokens"
    )
    figures = {"value": value, "low": low, "high": high, "limit": floor, "source": machine.source}
    too_large = machine.excluded()
    if too_large or claim.high < floor:
        return Finding("impossible", too_large or words, **figures)
    inside = claim.low <= high and claim.high >= low
    return Finding("consistent" if inside else "off", words, **figures)


@lru_cache(maxsize=256)
def _crowd(model_id, server_id, weight_format, users):
    return crowd.crowd(model_id, server_id, weight_format, users=(users,)).iloc[0]


def together(claim: Claim, catalogue: Catalogue) -> Finding:
    """Response time, or speed of each, of users who ask again at once."""
    machine = _Machine(claim, catalogue)
    seen = _crowd(claim.model_id, claim.server, machine.format, claim.users)
    if machine.excluded() or "speed" not in seen:
        return Finding("impossible", machine.excluded() or seen["reason"], source=machine.source)
    floor = machine.floor()  # of one user: several may share their experts
    lengths = f"{crowd.PROMPT} prompt and {crowd.OUTPUT} answer tokens, none being stated"
    if claim.metric == "response_s":
        value, low, high = seen["response"], seen["response_low"], seen["response_high"]
        limit, excluded, unit = crowd.OUTPUT * floor, claim.high < crowd.OUTPUT * floor, "s"
    else:
        value, low, high = seen["speed"], seen["speed_low"], seen["speed_high"]
        limit, excluded, unit = 1 / floor, claim.low > 1 / floor, "tok/s"
    words = f"{figure(low)} to {figure(high)} {unit} are expected with {lengths}"
    if excluded:
        smaller = figure(machine.smaller(limit, unit))
        words = f"the memory allows {figure(limit)} {unit} at best, {smaller} in 4 bits; {words}"
    figures = {"value": value, "low": low, "high": high, "limit": limit, "source": machine.source}
    figures["limit_4_bits"] = machine.smaller(limit, unit)
    inside = claim.low <= high and claim.high >= low
    verdict = "impossible" if excluded else "consistent" if inside else "off"
    return Finding(verdict, words, **figures)


def gain(claim: Claim, catalogue: Catalogue) -> Finding:
    """Speed that a format gains over BF16 for one user, on the machines of the claims."""
    places = {c.model_id: c for c in catalogue.claims if c.metric == "decode_tok_s" and c.server}
    same = SAME_BITS[claim.weight_format]
    gains, best = [], []
    for place in places.values():
        server = catalogue.servers[place.server]
        kinds = [
            replica(place.model_id, server.device, ENGINE, name, server.sockets)
            for name in ("bf16", same)
        ]
        for made, groups in ((gains, kinds), (best, [kind.ideal() for kind in kinds])):
            full, small = (estimate.decode_step_time(group, 1, CONTEXT)[0] for group in groups)
            made.append(100 * (full / small - 1))
    low, value, high = np.quantile(gains, [0, 0.5, 1])
    words = (
        f"{low:.0f} to {high:.0f} % for one user of the guide's {len(gains)} models with known "
        f"machines, in {same}: a token reads that many fewer bytes; less with many users"
    )
    source = "computed from the bytes of a token and the speeds measured on CPUs"
    found = compared(claim, value, words, source, low=low, high=high)
    return found._replace(limit=max(best))


def cores(claim: Claim, catalogue: Catalogue) -> Finding:
    """Cores of a processor that are there to be bought."""
    device = catalogue.devices[claim.device]
    sockets = claim.sockets or 2
    value = device.cores * sockets
    words = (
        f"{sockets} sockets of {device.cores} cores are {value} cores and {2 * value} threads; "
        "no E5-2680 has more cores in two sockets"
    )
    found = compared(claim, value, words, f"{brief(device.source)}, {device.source_date}")
    return found._replace(verdict="impossible", limit=value) if claim.low > value else found
