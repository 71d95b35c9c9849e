"""Make the fonts of the explorer: two families, cut down to what it shows.

They come from packages of the npm registry, both under the SIL Open Font
License 1.1, which is kept beside them.

uv run --with fonttools --with brotli python tests/benchmarks/fonts.py
"""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

ASSETS = Path(__file__).parents[2] / "cookbook" / "site" / "assets"

SHOWN = (
    "U+20-7E,U+A0,U+B7,U+D7,U+2013,U+2014,U+2018,U+2019,U+201C,U+201D,"
    "U+2026,U+2190-2193,U+2212,U+22EF"
)
"""ASCII and the signs of the pages; other letters fall back."""

FONTS = (
    ("source-serif-4", 400, "serif", "kern"),
    ("iosevka", 400, "mono", ""),
    ("iosevka", 600, "mono", ""),
)
"""Package, weight, the name here, and the features that are kept."""


def main() -> None:
    """Fetch each package, and cut its fonts down."""
    with TemporaryDirectory() as folder:
        for package, weight, name, features in FONTS:
            files = fetched(package, Path(folder))
            font = files / "files" / f"{package}-latin-{weight}-normal.woff2"
            cut(font, ASSETS / f"{name}-{weight}.woff2", features)
            shutil.copy(files / "LICENSE", ASSETS / f"{name}-license.txt")


def fetched(package: str, folder: Path) -> Path:
    """Fetch a package, and unpack it."""
    place = folder / package
    if not place.exists():
        command = ["npm", "pack", "--silent", f"@fontsource/{package}"]
        done = subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True
        )
        with tarfile.open(folder / done.stdout.strip()) as archive:
            archive.extractall(place, filter="data")
    return place / "package"


def cut(font: Path, out: Path, features: str) -> None:
    """Keep the signs and the features that are used."""
    options = {
        "unicodes": SHOWN,
        "flavor": "woff2",
        "layout-features": features,
        "name-IDs": "",
        "output-file": str(out),
    }
    subprocess.run(
        [
            sys.executable,
            "-m",
            "fontTools.subset",
            str(font),
            "--no-hinting",
            "--desubroutinize",
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        check=True,
    )


if __name__ == "__main__":
    main()
