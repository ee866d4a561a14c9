"""
The catalogue: everything in ``data/`` as records, checked as a whole.

The only place where units convert: files speak GiB, GB/s, TFLOP/s and prices per million tokens,
records speak SI (B, B/s, FLOP/s, s, price per token). ``data/README.md`` describes every column.
The records themselves are in ``planner.records``, the reading of a file in ``planner.tables``.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from planner import tables
from planner.formats import Format
from planner.records import (
    ApiPrice,
    Assumption,
    Claim,
    Device,
    EngineOption,
    Model,
    Published,
    Record,
    Rental,
    Score,
    Server,
)

__all__ = [
    "ApiPrice",
    "Assumption",
    "Catalogue",
    "CatalogueError",
    "Claim",
    "Device",
    "EngineOption",
    "Format",
    "Model",
    "Published",
    "Record",
    "Rental",
    "Score",
    "Server",
    "check",
    "convert",
    "load",
]

DATA = Path(__file__).resolve().parents[1] / "data"
GIB = 2.0**30

# One die at one power limit has one dense peak; a row that differs was mistyped.
SAME_PEAK = (
    ("a100-pcie-40", "a100-sxm-40", "a100-pcie-80", "a100-sxm-80"),
    ("h100-sxm", "h200-sxm", "gh200-144"),
    ("h100-nvl", "h200-nvl"),
    ("mi300x", "mi325x"),
    ("rtx-4090", "rtx-4090-48"),
    ("xeon-platinum-8480+", "xeon-platinum-8480-es"),
)
SERVER_DEVICE = {"cpu": "cpu", "gpu": "gpu", "unified": "apu"}


class CatalogueError(ValueError):
    """Something in ``data/`` is wrong; the message lists every problem, one per line."""


TABLES = (
    tables.Table("models.json", "models", Model),
    tables.Table(
        "devices.csv",
        "devices",
        Device,
        {
            "memory_gib": ("memory", GIB),
            "usable_gib": ("usable_memory", GIB),
            "mem_bw_gbs": ("bandwidth", 1e9),
            "fp32_tflops": ("peak.fp32", 1e12),
            "bf16_tflops": ("peak.bf16", 1e12),
            "fp16_tflops": ("peak.fp16", 1e12),
            "fp8_tflops": ("peak.fp8", 1e12),
            "int8_tops": ("peak.int8", 1e12),
            "fp4_tflops": ("peak.fp4", 1e12),
            "tdp_w": ("tdp", 1.0),
            "link_gbs": ("link_bandwidth", 1e9),
        },
    ),
    tables.Table(
        "servers.csv",
        "servers",
        Server,
        {
            "memory_gib": ("memory", GIB),
            "power_idle_w": ("power_idle", 1.0),
            "power_load_w": ("power_load", 1.0),
        },
    ),
    tables.Table("formats.csv", "formats", Format),
    tables.Table(
        "api_prices.csv",
        "api_prices",
        ApiPrice,
        {
            "input_per_mtok": ("input", 1e-6),
            "output_per_mtok": ("output", 1e-6),
            "cached_input_per_mtok": ("cached_input", 1e-6),
        },
    ),
    tables.Table("rentals.csv", "rentals", Rental),
    tables.Table("assumptions.csv", "assumptions", Assumption),
    tables.Table("claims.csv", "claims", Claim),
    tables.Table("published.csv", "published", Published),
    tables.Table("engine_options.csv", "engine_options", EngineOption),
)


@dataclass(frozen=True)
class Catalogue:
    """All records by id, where they were read and a digest of the files."""

    models: dict[str, Model]
    devices: dict[str, Device]
    servers: dict[str, Server]
    formats: dict[str, Format]
    api_prices: dict[str, ApiPrice]
    rentals: dict[str, Rental]
    assumptions: dict[str, Assumption]
    claims: tuple[Claim, ...]
    published: dict[str, Published]
    engine_options: dict[str, EngineOption]
    directory: Path
    digest: str

    def claim(self, claim_id: str) -> Claim:
        """What the guide says under an id."""
        return next(claim for claim in self.claims if claim.id == claim_id)


def _references(read: dict[str, dict]) -> Iterator[str]:
    """References between files that do not resolve, and relations between rows."""
    links = (
        ("servers", "device", "devices"),
        ("rentals", "device", "devices"),
        ("api_prices", "model_id", "models"),
        ("claims", "model_id", "models"),
        ("claims", "server", "servers"),
        ("claims", "device", "devices"),
        ("claims", "weight_format", "formats"),
    )
    file = {table.name: table.file for table in TABLES}
    for table, field, target in links:
        for row, record in enumerate(read[table].values(), 2):
            value = getattr(record, field)
            if value and read[target] and value not in read[target]:
                yield tables.problem(
                    file[table], row, record.id, field, value,
                    f"is not an id in data/{file[target]}; add it there or correct the spelling",
                )  # fmt: skip
    rates = {"USD"} | {key[3:6].upper() for key in read["assumptions"] if key.startswith("fx_")}
    for table in ("servers", "api_prices", "rentals"):
        for row, record in enumerate(read[table].values(), 2):
            if read["assumptions"] and record.currency not in rates:
                yield tables.problem(
                    file[table], row, record.id, "currency", record.currency,
                    f"has no rate; add fx_{record.currency.lower()}_per_usd to assumptions.csv",
                )  # fmt: skip
    devices = read["devices"]
    for row, server in enumerate(read["servers"].values(), 2):
        device = devices.get(server.device)
        if device and SERVER_DEVICE[server.kind] != device.kind:
            yield tables.problem(
                file["servers"], row, server.id, "kind", server.kind,
                f"does not go with device {device.id} of kind {device.kind}; correct one of them",
            )  # fmt: skip
    for group in SAME_PEAK:
        known = [devices[name] for name in group if name in devices]
        for other in known[1:]:
            if not _close(known[0].peak.get("bf16"), other.peak.get("bf16")):
                yield (
                    f"data/devices.csv ({other.id}), field bf16_tflops: differs from "
                    f"{known[0].id}, which is the same chip; give both one dense peak"
                )


def _close(first: float | None, second: float | None) -> bool:
    return first == second or (None not in (first, second) and abs(first - second) < 5e-3 * first)


def calibration_path(directory: Path = DATA) -> Path:
    """
    Where the team's own calibration lies; it need not exist.

    Parameters
    ----------
    directory : path
        Directory with the data files. [1]

    Returns
    -------
    path : path
        ``calibration.csv`` there, or the file that PLANNER_CALIBRATION names; a name that does
        not exist, such as ``none``, turns calibration off. [1]
    """
    return directory / os.environ.get("PLANNER_CALIBRATION", "calibration.csv")


def _digest(directory: Path) -> str:
    """Digest of every file that can change a result."""
    names = [table.file for table in TABLES] + ["bands.csv", "constants"]
    names.append(calibration_path(directory))
    digest = hashlib.sha256()
    for name in names:
        path = directory / name
        for part in sorted(path.glob("*.csv")) if path.is_dir() else [path]:
            if part.is_file():
                digest.update(part.name.encode() + b"\0" + part.read_bytes() + b"\0")
    return digest.hexdigest()


def _read(directory: Path) -> tuple[dict[str, dict], list[str]]:
    """Records of every file by id, and all that is wrong with them."""
    read, problems = {}, []
    for table in TABLES:
        read[table.name], found = tables.read(directory / table.file, table)
        problems += found
    if not problems:  # a row that could not be read would only be reported a second time
        problems = list(_references(read))
    return read, problems


def check(directory: str | Path | None = None) -> list[str]:
    """
    Everything that is wrong in a data directory.

    Parameters
    ----------
    directory : path, optional
        Directory with the data files; by default the one of this project. [1]

    Returns
    -------
    problems : list of str
        One line each with file, row, field, value and remedy; empty when all is well. [1]
    """
    return _read(DATA if directory is None else Path(directory))[1]


def load(directory: str | Path | None = None) -> Catalogue:
    """
    Read the catalogue; a second call for the same directory returns the same object.

    Parameters
    ----------
    directory : path, optional
        Directory with the data files; by default the one of this project. [1]

    Returns
    -------
    catalogue : Catalogue
        Records in SI units. [1]

    Raises
    ------
    CatalogueError
        With every problem of every file, one per line.
    """
    # Resolving a path costs more than the look-up, and the default is asked for constantly.
    return _load(DATA if directory is None else Path(directory).resolve())


@lru_cache(maxsize=8)
def _load(directory: Path) -> Catalogue:
    read, problems = _read(directory)
    if problems:
        raise CatalogueError("\n".join(problems))
    read["claims"] = tuple(read["claims"].values())
    return Catalogue(**read, directory=directory, digest=_digest(directory))


def convert(amount, from_currency: str, to_currency: str, catalogue: Catalogue | None = None):
    """
    Amount of money in another currency, at the dated rates of ``data/assumptions.csv``.

    Parameters
    ----------
    amount : numeric
        Money, or a price per anything. [from_currency]
    from_currency, to_currency : str
        Three-letter codes with a rate ``fx_<code>_per_usd``, or USD. [1]
    catalogue : Catalogue, optional
        Where the rates are; by default the catalogue of this project. [1]

    Returns
    -------
    amount : numeric
        The same money. [to_currency]

    Examples
    --------
    >>> round(convert(15000, "CNY", "USD"), 2)
    2145.03
    """
    rates = (load() if catalogue is None else catalogue).assumptions

    def rate(currency):
        if currency == "USD":
            return 1.0
        key = f"fx_{currency.lower()}_per_usd"
        if key not in rates:
            known = sorted(k[3:6].upper() for k in rates if k.startswith("fx_"))
            raise ValueError(
                f"currency {currency!r} has no rate; use USD, {', '.join(known)} "
                f"or add {key} to data/assumptions.csv"
            )
        return rates[key].value

    return amount * (rate(to_currency) / rate(from_currency))
