"""An interpreter for each framework, with that framework's stack alone.

The interpreter that runs the tool serves where it has the stack, as in
the environments of tox. Otherwise an environment is made on first use
under `.cookbook/envs`, by uv.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from cookbook.book import Framework
from cookbook.names import WrongUse


def python_for(framework: Framework, home: Path) -> Path:
    """Find or make the interpreter that runs a framework's recipes.

    `home` is the folder of what the tool keeps between runs.
    """
    if all(is_met(package) for package in framework.packages):
        return Path(sys.executable)
    folder = home / "envs" / environment_name(framework)
    with lock(folder.with_suffix(".lock")):
        python = folder / "bin" / "python"
        if not (folder / "complete").exists() or not python.exists():
            make(framework, folder)
    return python


def is_met(package: str) -> bool:
    """Tell whether a requirement is met by the running interpreter."""
    requirement = Requirement(package)
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def environment_name(framework: Framework) -> str:
    """Name an environment by all that it is made from."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages = json.dumps(framework.packages).encode()
    digest = hashlib.sha256(packages).hexdigest()[:8]
    return f"{framework.name}-{version}-{digest}"


def make(framework: Framework, folder: Path) -> None:
    """Make an environment, with a word of what happens."""
    print(
        f"Making an environment for {framework.title} (once) in {folder} ...",
        file=sys.stderr,
        flush=True,
    )
    shutil.rmtree(folder, ignore_errors=True)
    uv = find_uv()
    run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    python = folder / "bin" / "python"
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode"]
    run([*install, "--python", str(python), *framework.packages])
    (folder / "complete").touch()


def find_uv() -> str:
    """Find uv: the one that came with the tool, or one on the path."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        return shutil.which("uv") or "uv"


def run(command: list[str]) -> None:
    """Run uv, and show what it says only when it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False
        )
    except OSError as error:
        reason = error.strerror or error
        raise WrongUse(f"{command[0]} cannot be run: {reason}.") from None
    if done.returncode:
        raise WrongUse(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}"
        )


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Keep other runs of the tool out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def versions(framework: Framework, python: Path) -> dict[str, str]:
    """Read the versions of a framework's packages, and of Python."""
    if python == Path(sys.executable):
        paths = sys.path
    else:
        home = python.parent.parent
        paths = [str(found) for found in home.glob("lib/*/site-packages")]
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    wanted = [Requirement(package).name for package in framework.packages]
    for name in wanted:
        for distribution in metadata.distributions(name=name, path=paths):
            found[name] = distribution.version
            break
    return found
