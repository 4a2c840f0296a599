"""Real mail servers and clients for the tests, unpacked from Debian packages into `.cache/peers`.

Nothing is installed, so no service starts and packages that conflict live side by side; root is not
needed. `python -m tests.kit.debian` fetches what is missing; `find(name)` tells where a peer is.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.kit import relocate

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("MAILFERRY_PEERS", ROOT / ".cache" / "peers"))
ARCHIVES = ROOT / ".cache" / "archives"


class PeerMissing(RuntimeError):
    """A peer is neither on this machine nor unpacked; the message holds the command that helps."""


@dataclass(frozen=True)
class Recipe:
    """What makes a peer: how it is called, where it may stand, what it is unpacked from."""

    program: str
    packages: tuple[str, ...]
    system: tuple[str, ...]
    """Glob patterns of the program on a machine that has it installed; the last match wins."""
    version: tuple[str, ...]
    """Arguments that make the program print its version; none where it tells another's or nothing."""
    only: tuple[str, ...] = ()
    """Members to unpack, where the rest of a package is large and of no use here."""
    libraries: bool = True
    """Whether libraries that the packages ask for are unpacked too."""
    lives_in: str = ""
    """The folder compiled into the program, for a peer that must be told where it was unpacked."""
    for_others: bool = False
    """Whether the peer runs as another user than ourselves when we are root."""
    also: tuple[str, ...] = ()
    """Programs that must stand beside `program` for an installed peer to count as complete."""


RECIPES: Mapping[str, Recipe] = {
    "dovecot": Recipe(
        program="usr/sbin/dovecot",
        packages=("dovecot-core", "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd", "dovecot-sqlite"),
        system=("/usr/sbin/dovecot",),
        version=("--version",),
        lives_in="/usr/lib/dovecot",
        also=("/usr/lib/dovecot/imap", "/usr/lib/dovecot/pop3", "/usr/lib/dovecot/lmtp", "/usr/bin/doveadm"),
    ),
    "cyrus": Recipe(
        program="usr/lib/cyrus/bin/master",
        packages=("cyrus-imapd", "cyrus-common", "cyrus-pop3d"),
        system=("/usr/lib/cyrus/bin/master",),
        version=("-V",),
        for_others=True,
        also=("/usr/lib/cyrus/bin/imapd", "/usr/lib/cyrus/bin/pop3d"),
    ),
    "courier": Recipe(
        program="usr/bin/imapd",
        packages=("courier-imap", "courier-pop", "courier-base", "courier-authlib"),
        system=("/usr/bin/imapd",),
        version=("--version",),
        for_others=True,
        also=(
            "/usr/lib/courier/courier/imaplogin",
            "/usr/lib/courier/courier/courierpop3d",
            "/usr/bin/maildirmake.courier",
        ),
    ),
    "haproxy": Recipe("usr/sbin/haproxy", ("haproxy",), ("/usr/sbin/haproxy",), ("-v",)),
    "nginx": Recipe(
        program="usr/sbin/nginx",
        packages=("nginx", "libnginx-mod-mail"),
        system=("/usr/sbin/nginx",),
        version=("-v",),
        also=("/usr/lib/nginx/modules/ngx_mail_module.so",),
    ),
    "perdition": Recipe("usr/sbin/perdition", ("perdition",), ("/usr/sbin/perdition",), ("--help",)),
    "fetchmail": Recipe("usr/bin/fetchmail", ("fetchmail",), ("/usr/bin/fetchmail",), ("--version",)),
    "mbsync": Recipe("usr/bin/mbsync", ("isync",), ("/usr/bin/mbsync",), ("--version",)),
    "getmail6": Recipe("usr/bin/getmail", ("getmail6",), ("/usr/bin/getmail",), ("--version",)),
    "curl": Recipe("usr/bin/curl", ("curl",), ("/usr/bin/curl",), ("--version",)),
    "chromium": Recipe(  # with letters for Chinese, which are boxes otherwise
        program="usr/lib/chromium/chromium",
        packages=("chromium", "chromium-common", "fonts-wqy-microhei"),
        system=("/usr/lib/chromium/chromium",),
        version=("--version",),
        also=("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",),
    ),
    "mandoc": Recipe("usr/bin/mandoc", ("mandoc",), ("/usr/bin/mandoc",), ()),
    "promtool": Recipe(
        "usr/bin/promtool",
        ("prometheus",),
        ("/usr/bin/promtool",),
        ("--version",),
        only=("./usr/bin/promtool",),
        libraries=False,
    ),
    "php": Recipe(  # with the program that makes PostfixAdmin's tables
        program="usr/bin/php*",
        packages=("php8.2-cli", "php8.2-common", "php8.2-sqlite3", "php8.2-mbstring", "postfixadmin"),
        system=("/usr/bin/php8*",),
        version=("-n", "--version"),
        also=("/usr/share/postfixadmin/public/upgrade.php",),
    ),
    "postfix": Recipe(
        program="usr/sbin/postconf",
        packages=("postfix",),
        system=("/usr/sbin/postconf",),
        version=("-d", "mail_version"),
        also=("/usr/lib/postfix/sbin/master",),
    ),
    "roundcube": Recipe(  # with a PHP that has the modules it needs
        program="usr/bin/php*",
        packages=(
            "roundcube-core",
            "php8.2-cli",
            "php8.2-common",
            "php8.2-intl",
            "php8.2-mbstring",
            "php8.2-sqlite3",
            "php8.2-xml",
            "php-pear",
            "php-auth-sasl",
            "php-mail-mime",
            "php-net-smtp",
            "php-net-socket",
            "php-net-sieve",
            "php-masterminds-html5",
            "php-guzzlehttp-guzzle",
            "php-guzzlehttp-promises",
            "php-guzzlehttp-psr7",
            "php-psr-http-client",
            "php-psr-http-factory",
            "php-psr-http-message",
            "php-getallheaders",
            "php-symfony-deprecation-contracts",
            "libjs-bootstrap4",
            "libjs-codemirror",
            "libjs-jquery",
            "libjs-jquery-minicolors",
            "libjs-jquery-ui",
            "libjs-jstimezonedetect",
        ),
        system=("/usr/bin/php8*",),
        version=(),
        also=("/usr/share/roundcube/index.php",),
    ),
    "imapproxy": Recipe("usr/sbin/imapproxyd", ("imapproxy",), ("/usr/sbin/imapproxyd",), ()),
    "strace": Recipe("usr/bin/strace", ("strace",), ("/usr/bin/strace",), ("--version",)),
    "sslscan": Recipe("usr/bin/sslscan", ("sslscan",), ("/usr/bin/sslscan",), ("--version",)),
    "postgresql": Recipe(
        "usr/lib/postgresql/*/bin/postgres",
        ("postgresql",),
        ("/usr/lib/postgresql/*/bin/postgres",),
        ("--version",),
    ),
}
LAYOUT = 2
"""Goes up when unpacked files are laid out in another way, so that old caches are made anew."""
NOT_NEEDED = re.compile(r"libllvm|libjs|libc6|libpam-runtime|libperl|libclamav")
"""Libraries that packages name and the programs we start do not load."""


@dataclass(frozen=True)
class Found:
    """Where a peer's program is, and the environment that lets it find its libraries."""

    name: str
    program: Path
    root: Path
    """What its paths stand below: `/` for an installed peer; one flat folder for a relocated one."""
    env: Mapping[str, str] = field(default_factory=dict)
    relocated: bool = False

    def beside(self, path: str) -> Path:
        """Return another program of the same peer, named as in its package, such as `usr/bin/doveadm`."""
        return self.root / (Path(path).name if self.relocated else path)

    @property
    def libexec(self) -> Path:
        """The folder that a relocatable peer's inner programs stand in."""
        return self.root if self.relocated else Path(RECIPES[self.name].lives_in)

    @property
    def version(self) -> str:
        """The version of the package it was unpacked from, or what an installed program tells of itself."""
        return _installed_version(self.name) if self.root == Path("/") else _unpacked_version(self.name)


def find(name: str) -> Found:
    """Return where the peer `name` is: installed, else unpacked. Raises PeerMissing."""
    recipe = RECIPES[name]
    for pattern in recipe.system:
        matches = _matches(Path("/"), pattern)
        if matches and all(Path(path).exists() for path in recipe.also):
            return Found(name, matches[-1], Path("/"))
    root = CACHE / name / "root"
    matches = _matches(root, recipe.program)
    if matches and _complete(name):
        if recipe.lives_in:
            home = relocate.reachable(root, recipe.lives_in)
            return Found(name, home / Path(recipe.program).name, home, relocated=True)
        folders = [str(path) for path in _library_folders(root)]
        env = {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}
        if (modules := root / "usr/lib/python3/dist-packages").is_dir():
            env["PYTHONPATH"] = str(modules)
        return Found(name, matches[-1], root, env)
    raise PeerMissing(
        f"{name} is missing: `make peers` unpacks it, or: apt-get install {' '.join(recipe.packages)}"
    )


def missing(names: Sequence[str] = tuple(RECIPES)) -> list[str]:
    """Return those of `names` that `find` does not find."""
    absent = []
    for name in names:
        try:
            find(name)
        except PeerMissing:
            absent.append(name)
    return absent


def fetch(names: Sequence[str]) -> dict[str, str]:
    """Unpack the peers in `names` that are missing; returns name -> reason for each that failed."""
    failed = {}
    with _lock():
        for name in missing(names):
            try:
                _unpack(name)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None) or str(error)
                failed[name] = (said.strip().splitlines() or ["no reason given"])[-1]
    return failed


def _unpack(name: str) -> None:
    recipe = RECIPES[name]
    if shutil.which("dpkg-deb") is None or shutil.which("apt-get") is None:
        raise OSError("this machine has no apt-get and dpkg-deb")
    home = CACHE / name
    shutil.rmtree(home, ignore_errors=True)
    building = CACHE / f".{name}.building"
    shutil.rmtree(building, ignore_errors=True)
    (building / "root").mkdir(parents=True)
    folder = ARCHIVES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    packages = _with_libraries(recipe) if recipe.libraries else list(recipe.packages)
    _download(packages, folder)
    for archive in sorted(folder.glob("*.deb")):
        if recipe.only:
            tar = subprocess.run(
                ["dpkg-deb", "--fsys-tarfile", archive], check=True, capture_output=True
            ).stdout
            subprocess.run(
                ["tar", "-x", "-C", building / "root", *recipe.only],
                input=tar,
                check=True,
                capture_output=True,
            )
        else:
            subprocess.run(["dpkg-deb", "-x", archive, building / "root"], check=True, capture_output=True)
    if recipe.lives_in:
        inner = building / "root" / recipe.lives_in.lstrip("/")
        for folder_of_libraries in _library_folders(building / "root"):
            for library in folder_of_libraries.glob("*.so*"):
                (inner / library.name).symlink_to(os.path.relpath(library, inner))
        relocate.rewrite(building / "root", home / "root", recipe.lives_in)
    building.rename(home)
    archives = sorted(p.name for p in folder.glob("*.deb"))
    (home / "complete").write_text("\n".join([_stamp(name), *archives]) + "\n")
    shutil.rmtree(folder)


def _complete(name: str) -> bool:
    """Whether the peer was unpacked by this version of this file, for this folder, from all its packages."""
    try:
        stamp, *archives = (CACHE / name / "complete").read_text().splitlines()
    except (FileNotFoundError, ValueError):
        return False
    unpacked = {archive.partition("_")[0] for archive in archives}
    return stamp == _stamp(name) and unpacked >= set(RECIPES[name].packages)


def _stamp(name: str) -> str:
    return f"layout {LAYOUT} in {CACHE / name}"


def _with_libraries(recipe: Recipe) -> list[str]:
    """Return the recipe's packages, what replaces a mere name for them, and the libraries not installed."""
    wanted: list[str] = []
    queue = list(recipe.packages)
    while queue:
        package = queue.pop(0)
        if package in wanted:
            continue
        wanted.append(package)
        for other in _depends(package):
            versioned = re.fullmatch(re.escape(recipe.packages[0]) + r"-\d+", other)
            library = re.match(r"lib", other) and not NOT_NEEDED.match(other) and not _installed(other)
            if versioned or library:
                queue.append(other)
    return wanted


def _depends(package: str) -> list[str]:
    shown = _apt("apt-cache", "depends", "--no-recommends", "--no-suggests", package).stdout
    return re.findall(r"^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9.+-]*)$", shown, re.MULTILINE)


def _installed(package: str) -> bool:
    ran = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout.strip() == "installed"


def _download(packages: Sequence[str], folder: Path) -> None:
    """Fetch the archives; when the machine's package lists are missing or old, with lists of our own."""
    command = ("apt-get", "download", *packages)
    try:
        _apt(*command, folder=folder)
    except subprocess.CalledProcessError:
        _own_lists()
        _apt(*command, folder=folder)


_private: list[str] = []


def _own_lists() -> None:
    """Fetch package lists into the cache, where no right to the system's lists is needed."""
    state = ROOT / ".cache" / "apt"
    for part in ("lists/partial", "archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    _private[:] = [
        "-o", f"Dir::State::Lists={state}/lists",
        "-o", f"Dir::Cache={state}",
        "-o", f"Dir::Cache::Archives={state}/archives",
    ]  # fmt: skip
    _apt("apt-get", "update")


def _apt(program: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    options = [*_private, "-o", "APT::Sandbox::User=root"] if os.getuid() == 0 else _private
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        [program, "-q", *options, *arguments],
        cwd=folder, env=env, check=True, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip


def _library_folders(root: Path) -> list[Path]:
    """Return the folders that hold libraries.

    Courier and Postfix keep their own below `usr/lib`, PulseAudio, which Chromium wants, in a folder deeper.
    """
    patterns = ("lib/*-linux-*", "usr/lib/*-linux-*", "usr/lib/*-linux-*/pulseaudio", "usr/lib/postfix")
    usual = [folder for pattern in patterns for folder in root.glob(pattern)]
    return [*usual, *({library.parent for library in (root / "usr/lib").glob("*.so.*")})]


@contextmanager
def _lock() -> Iterator[None]:
    """Let one process at a time unpack; several test runs may start at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _matches(root: Path, pattern: str) -> list[Path]:
    """Return the files that the pattern names, the one with the highest number in its name last."""

    def numbers(path: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", str(path))]

    return sorted(root.glob(pattern.lstrip("/")), key=numbers)


@cache
def _unpacked_version(name: str) -> str:
    """Read it from the archives' names: to ask each program would take seconds in every run."""
    package = re.escape(RECIPES[name].packages[0])
    archives = (CACHE / name / "complete").read_text()
    number = re.search(rf"^{package}(?:-\d+)?_(?:\d+%3a)?(\d+(?:\.\d+)+)", archives, re.MULTILINE)
    return number[1] if number else "of unknown version"


@cache
def _installed_version(name: str) -> str:
    recipe = RECIPES[name]
    ask = [str(find(name).program), *recipe.version]
    if not recipe.version:
        ask = ["dpkg-query", "-W", "-f", "${Version}", recipe.packages[0]]
    try:
        ran = subprocess.run(
            ask,
            env={**os.environ, "HOME": "/tmp"},  # fetchmail wants a home that exists
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:  # no Debian
        return "of unknown version"
    number = re.search(r"\d+(?:\.\d+)+", ran.stdout + ran.stderr)
    return number[0] if number else "of unknown version"


def main() -> int:
    """Fetch every peer that is missing; say in one line what could not be had and what installs it."""
    failed = fetch(tuple(RECIPES))
    for name, reason in failed.items():
        print(f"{name}: {reason}", file=sys.stderr)
    if failed:
        packages = " ".join(package for name in failed for package in RECIPES[name].packages)
        print(
            f"missing peers: {', '.join(failed)}. Install them: apt-get install {packages}", file=sys.stderr
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
