"""The folder of recordings: names by trading day, and the bounds on what is kept."""

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import time
from typing import Final

_NAME: Final = re.compile(r"(?P<day>\d{4}-\d\d-\d\d)\.(?P<number>\d{2,})\.ndjson\.zst")
_DAY_S: Final = 86_400


class OutOfRoom(OSError):
    """What may be kept is used up, by the file that is being written itself."""


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of older recordings.

    Attributes:
        most_bytes: All recordings of the folder together.
        most_days: Since a recording was last written to.
        least_free: Bytes of the disk that are left to everything else.
    """

    most_bytes: int
    most_days: int
    least_free: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FolderUse:
    """What a folder of recordings takes of its disk.

    Attributes:
        bytes: Of all recordings.
        files: How many they are.
        free_bytes: What the disk has left.
        disk_bytes: The disk.
    """

    bytes: int
    files: int
    free_bytes: int
    disk_bytes: int


def folder_use(folder: Path) -> FolderUse | None:
    """What recordings take and leave; None before there is a folder, and when it cannot be read."""
    try:
        sizes = [path.stat().st_size for path, _ in _recordings(folder)]
        disk = shutil.disk_usage(folder)
    except OSError:
        return None
    return FolderUse(sum(sizes), len(sizes), disk.free, disk.total)


def new_file(folder: Path, day: date) -> Path:
    """Make the day's next file, `YYYY-MM-DD.NN.ndjson.zst`: what an earlier run wrote is never written to again.

    Raises:
        OSError: It cannot be made.
    """
    taken = [int(match["number"]) for path, match in _recordings(folder) if match["day"] == day.isoformat()]
    path = folder / f"{day.isoformat()}.{max(taken, default=0) + 1:02d}.ndjson.zst"
    path.touch(exist_ok=False)
    return path


def make_room(folder: Path, writing: Path | None, keep: Keep) -> list[Path]:
    """Remove old recordings until the rest is within bounds. Other files in the folder are left alone.

    Args:
        folder: Where they are; it is made if need be.
        writing: The file that is being written, which stays; None before there is one.
        keep: The bounds.

    Returns:
        What was removed, oldest first.

    Raises:
        OutOfRoom: Too little is left for the file that is being written.
        OSError: The folder cannot be read, or a recording not be removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    removed: list[Path] = []
    found: list[tuple[float, Path, int]] = []
    for path, _ in _recordings(folder):
        with suppress(FileNotFoundError):  # somebody else has removed it meanwhile
            stat = path.stat()
            found.append((stat.st_mtime, path, stat.st_size))
    total = sum(size for _, _, size in found)
    for written_at, path, size in sorted(found):
        too_old = time() - written_at > keep.most_days * _DAY_S
        if path != writing and (too_old or total > keep.most_bytes):
            path.unlink(missing_ok=True)
            removed.append(path)
            total -= size
    if total > keep.most_bytes:
        raise OutOfRoom(f"it has reached the {keep.most_bytes / 2**30:g} GB that RECORDINGS_MAX_GB allows")
    if (free := shutil.disk_usage(folder).free) < keep.least_free:
        raise OutOfRoom(f"the disk has only {free // 2**20:,} MB left")
    return removed


def _recordings(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    return [(path, match) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)) is not None]
