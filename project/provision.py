"""Programs that no Python package carries: found on the machine, else installed by its package manager.

Only tests need them (a RabbitMQ to boot privately, a browser to drive), so that `make test` works on a new machine.
"""

import fcntl
import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from project import env
from project.processes import ServiceUnavailable

# A service's PATH often lacks what an interactive shell has.
_PREFIXES = ("/opt/homebrew", "/usr/local", "/usr")
USUAL_FOLDERS = tuple(Path(prefix, folder) for prefix in _PREFIXES for folder in ("bin", "sbin"))
_INSTALL_SECONDS = 900


@dataclass(frozen=True)
class Need:
    """A program that is needed.

    Attributes:
        what: What people call it.
        packages: Its package, by package manager.
        instead: What to do where it cannot be installed, as the end of a sentence.
    """

    what: str
    packages: dict[str, str]
    instead: str


_RABBITMQ = Need(
    "RabbitMQ",
    {"apt-get": "rabbitmq-server", "dnf": "rabbitmq-server", "brew": "rabbitmq"},
    "install it, or set TEST_AMQP_URL to a RabbitMQ that tests may use",
)
_CHROMIUM = Need(
    "Chromium",
    {"apt-get": "chromium", "dnf": "chromium", "brew": "chromium"},
    "install it, or set CHROMIUM to the program of a Chromium or Chrome",
)


def rabbitmq_program() -> Path:
    """The script that starts a RabbitMQ node as whoever calls it.

    Raises:
        ServiceUnavailable: there is none, and it could not be installed.
    """
    return found_or_installed(_RABBITMQ, _find_rabbitmq)


def chromium_program() -> Path:
    """A Chromium, or a browser made of it; `CHROMIUM` names one.

    Raises:
        ServiceUnavailable: there is none, and it could not be installed; or `CHROMIUM` names no program.
    """
    named = env.text("CHROMIUM")
    if named:
        path = shutil.which(named)
        if path is None:
            raise ServiceUnavailable(f"CHROMIUM is {named!r}, which is no program: set it to one, or unset it.")
        return Path(path)
    return found_or_installed(_CHROMIUM, _find_chromium)


def epmd_program(rabbitmq: Path) -> Path:
    """Erlang's name server, which a RabbitMQ node needs.

    Raises:
        ServiceUnavailable: it is not where RabbitMQ's Erlang is.
    """
    folders = [rabbitmq.parent]
    erl = _which("erl")
    if erl is not None:
        folders.append(erl.resolve().parent)
    found = _which("epmd", *folders)
    if found is None:
        raise ServiceUnavailable("Erlang's name server (epmd) is not on the PATH: install Erlang completely.")
    return found


def _which(name: str, *folders: Path) -> Path | None:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *map(str, (*folders, *USUAL_FOLDERS))))
    found = shutil.which(name, path=path)
    return Path(found) if found is not None else None


def _find_rabbitmq() -> Path | None:
    # Packages put a wrapper on the PATH that changes to the user rabbitmq; the script in the library folder does not.
    for libraries in (Path("/usr/lib/rabbitmq"), Path("/usr/lib64/rabbitmq"), Path("/opt/rabbitmq")):
        scripts = sorted((*libraries.glob("lib/*/sbin/rabbitmq-server"), *libraries.glob("sbin/rabbitmq-server")))
        if scripts:
            return scripts[-1]
    return _which("rabbitmq-server", Path("/opt/homebrew/opt/rabbitmq/sbin"), Path("/usr/local/opt/rabbitmq/sbin"))


def _find_chromium() -> Path | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    applications = (
        Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
        Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    )
    found = (path for name in names if (path := _which(name)) is not None)
    return next(found, None) or next((path for path in applications if path.exists()), None)


def found_or_installed(need: Need, find: Callable[[], Path | None]) -> Path:
    """What `find` finds, if need be after the package manager has installed it; one process installs at a time.

    Raises:
        ServiceUnavailable: it is not there and could not be installed.
    """
    program = find()
    if program is not None:
        return program
    with _one_at_a_time():
        # Another process may have installed it while we waited.
        program = find()
        if program is not None:
            return program
        tried = _install(need)
        program = find()
    if program is None:
        raise ServiceUnavailable(f"{need.what} is not on this machine ({tried}): {need.instead}.")
    return program


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    path = Path(tempfile.gettempdir()) / f"tapewatch-provision-{getpass.getuser()}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(need: Need) -> str:
    """Try this machine's package manager, and return what came of it, for the message if nothing did."""
    manager = next((name for name in need.packages if shutil.which(name) is not None), None)
    if manager is None:
        return "it has none of " + ", ".join(need.packages)
    package = need.packages[manager]
    as_root = () if manager == "brew" or os.geteuid() == 0 else ("sudo", "-n")
    if as_root and shutil.which("sudo") is None:
        return f"{manager} install {package} needs root"
    commands = {
        "apt-get": (
            ("apt-get", "update", "-q"),
            ("apt-get", "install", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", package),
        ),
        "dnf": (("dnf", "install", "-y", package),),
        "brew": (("brew", "install", package),),
    }[manager]
    # RUNLEVEL=1 keeps Debian's packages from starting their service: we need the program alone.
    quiet = ("env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
    for command in commands:
        try:
            subprocess.run(
                (*as_root, *quiet, *command),
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_INSTALL_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            last = (error.stdout or "").strip().splitlines()[-1:] or ["no output"]
            return f"{' '.join((*as_root, *command))} said: {last[0].rstrip('.')}"
        except subprocess.TimeoutExpired:
            return f"{' '.join((*as_root, *command))} took more than {_INSTALL_SECONDS} s"
    return f"{' '.join(commands[-1])} brought no such program"
