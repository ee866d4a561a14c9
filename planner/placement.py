"""Where reports lie: one lock per folder, each report written beside its place and then exchanged.

Whatever ends a run, and at whatever moment, every report is whole: the old one or the new one.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

RUNS = ".run"  # logs and the lock
DRAFT, OLD = ".draft-", ".old-"
FOLDERS = ("deploy",)  # that a report may have beside its files
# What a report consists of where its summary does not say.
NAMES = ("report.ipynb", "report.html", "report.pdf", "report.xlsx", "inputs.json", "summary.json")
SUMMARY = "summary.json"
_EXCHANGE, _HERE = 2, -100  # renameat2: exchange two names; paths as they are (Linux)


class PlaceError(ValueError):
    """A folder that cannot be used; the message says why and what helps."""


def cannot(out: Path, error: OSError) -> PlaceError:
    """That a folder cannot be written, and what helps."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space" if full else "name another folder with --out"
    return PlaceError(f"{out} cannot be written ({error.strerror}); {remedy}")


# ---- one run at a time -------------------------------------------------------------------------


@contextmanager
def locked(out: Path, run: str) -> Iterator[None]:
    """
    Nobody else writes into a folder meanwhile; the system lets go when this process ends.

    Parameters
    ----------
    out : Path
        Folder of all reports.
    run : str
        Who it is, for whoever comes second.

    Raises
    ------
    PlaceError
        When another run holds it, with its number, its process and since when.
    """
    try:
        (out / RUNS).mkdir(parents=True, exist_ok=True)
        file = os.open(out / RUNS / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise cannot(out, error) from None
    try:
        try:
            _take(file)
        except OSError:
            raise PlaceError(_held(out)) from None
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        said = {"run": run, "process": os.getpid(), "machine": socket.gethostname(), "since": now}
        try:
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, json.dumps(said).encode())
        except OSError as error:
            raise cannot(out, error) from None
        yield
    finally:
        os.close(file)


def _take(file: int) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    os.lseek(file, 2**20, os.SEEK_SET)  # behind what is written, so that others can read that
    msvcrt.locking(file, msvcrt.LK_NBLCK, 1)


def _held(out: Path) -> str:
    try:
        said = json.loads((out / RUNS / "lock").read_text(encoding="utf-8"))
        who = (
            f"run {said['run']} (process {said['process']} on {said['machine']}) "
            f"since {said['since']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        who = "another run"
    return f"{out} is being written by {who}; wait until it has ended or end it"


# ---- one report --------------------------------------------------------------------------------


def listed(folder: Path) -> list[str]:
    """Files that belong to the report in a folder, as its summary names them; else the usual."""
    try:
        names = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["files"]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return names
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return [*NAMES, *(f"{part}/{path.name}" for part in FOLDERS for path in _inside(folder / part))]


def _inside(folder: Path) -> list[Path]:
    real = folder.is_dir() and not folder.is_symlink()
    return sorted(folder.iterdir()) if real else []


def summary(folder: Path) -> dict | None:
    """The summary of the report in a folder, None unless every file that it names is there."""
    try:
        found = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        there = all((folder / name).stat().st_size > 0 for name in found["files"])
        return found if there and found["files"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def whole(folder: Path) -> bool:
    """Whether every file is there that the report's summary names."""
    return summary(folder) is not None


def place(files: Mapping[str, bytes], out: Path, name: str) -> None:
    """
    Put a report into its folder, all of it at once.

    Parameters
    ----------
    files : mapping of str to bytes
        Content by file name; a name may lie in one of `FOLDERS`.
    out : Path
        Folder of all reports.
    name : str
        Folder of this one. What people have put there stays.

    Raises
    ------
    PlaceError
        When it cannot be written; what was there is still there.
    """
    draft, place, old = out / (DRAFT + name), out / name, out / (OLD + name)
    try:
        _remove(draft)
        draft.mkdir(parents=True)
        for file, content in files.items():
            (draft / file).parent.mkdir(exist_ok=True)
            _write(draft / file, content)
        # A rename that outlives a power cut must not name empty files.
        parts = [draft / part for part in FOLDERS if (draft / part).is_dir()]
        for path in (*(draft / file for file in files), *parts, draft):
            _settle(path)
        if os.path.lexists(place):
            _carry(place, draft)
            if _exchange(draft, place):
                os.rename(draft, old)
            else:
                os.rename(place, old)
                os.rename(draft, place)
        else:
            os.rename(draft, place)
        _settle(out)
    except OSError as error:
        raise cannot(out, error) from None
    finally:
        _tidy(out, name)


def _tidy(out: Path, name: str) -> bool:
    """No draft and no old report is left; True where the old one had to be put back."""
    place, old = out / name, out / (OLD + name)
    _remove(out / (DRAFT + name))
    if not os.path.lexists(old):
        return False
    if not os.path.lexists(place):
        os.rename(old, place)
        return True
    with suppress(OSError):  # what came in at the last moment
        _carry(old, place)
    _remove(old)
    return False


def _write(path: Path, content: bytes) -> None:
    mode = 0o755 if path.suffix == ".sh" else 0o644
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(file, "wb") as stream:
        stream.write(content)


def _settle(path: Path) -> None:
    """What was written is on the disk, as far as the system can be made to do that."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _carry(old: Path, new: Path) -> None:
    """Files that people have put into the old folder, also into the new one if its names allow."""
    if old.is_symlink() or not old.is_dir():
        return
    made = set(listed(old))
    for path in sorted(old.rglob("*")):
        name = path.relative_to(old)
        target = new / name
        folder = path.is_dir() and not path.is_symlink()
        if folder or name.as_posix() in made or os.path.lexists(target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target, follow_symlinks=False)
        except OSError:
            shutil.copy2(path, target, follow_symlinks=False)


def _exchange(first: Path, second: Path) -> bool:
    """Two names change places in one step, where the system and the file system can do that."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    names = os.fsencode(first), os.fsencode(second)
    return rename is not None and rename(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path, ignore_errors=True)


def recover(out: Path) -> list[str]:
    """
    Complete or undo what a run that was killed has left.

    Parameters
    ----------
    out : Path
        Folder of all reports; the lock is held.

    Returns
    -------
    names : list of str
        Reports that were put back.
    """
    left = {
        path.name.removeprefix(prefix) for prefix in (DRAFT, OLD) for path in out.glob(f"{prefix}*")
    }
    for draft in out.glob(".index-*"):  # of the page of all teams
        draft.unlink(missing_ok=True)
    return [name for name in sorted(left) if _tidy(out, name)]
