"""Assets whose names have a fingerprint of what is in them.

`wiki.css` becomes `wiki.3f2a9c01bd77.css`: another content is another name,
so that nobody has to ask whether it has changed. Published is by copying,
and nothing is ever taken away: a page that some cache still has leads to
the assets of its own day.
"""

import re
from hashlib import sha256
from pathlib import Path

LENGTH = 12
YEAR = 31_536_000
IMMUTABLE = f"public, max-age={YEAR}, immutable"

_NAME = re.compile(r"[a-z0-9-]{1,40}\.[0-9a-f]{12}\.[a-z0-9]{1,10}")


def fingerprinted(asset: Path) -> str:
    """Give the name of an asset with its fingerprint."""
    fingerprint = sha256(asset.read_bytes()).hexdigest()[:LENGTH]
    return f"{asset.stem}.{fingerprint}{asset.suffix}"


def publish(source: str, target: str) -> None:
    """Copy the assets of a release to those of all earlier ones."""
    folder = open_folder(target)
    for asset in Path(source).iterdir():
        published = folder / fingerprinted(asset)
        if not published.exists():
            part = published.with_suffix(".part")
            part.write_bytes(asset.read_bytes())
            part.replace(published)


def is_published(folder: str, name: str) -> bool:
    """Tell whether there is an asset of this name, with its fingerprint."""
    return bool(_NAME.fullmatch(name)) and Path(folder, name).is_file()


def open_folder(path: str) -> Path:
    """Give the folder of what is published; make it, if it is not there."""
    folder = Path(path).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
