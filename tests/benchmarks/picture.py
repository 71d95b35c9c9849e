"""Make the picture in the README: a comparison, as a terminal shows it.

uv run --with rich python tests/benchmarks/picture.py
"""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PICTURE = Path(__file__).parents[2] / "cookbook" / "pictures" / "compare.svg"
COMMAND = ["cookbook", "compare", "pagination", "flask", "litestar"]
WIDTH, LINES = 100, 34
FIRST = "── opaque-cursor"
PAPER = TerminalTheme(
    (247, 247, 245),
    (23, 24, 26),
    [(23, 24, 26), (179, 38, 30), (26, 62, 200), (122, 74, 16)] * 2,
)
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {terminal_height}"
     xmlns="http://www.w3.org/2000/svg" xml:space="preserve" role="img"
     aria-label="The rules of pagination, Flask and Litestar side by side">
<style>
.{unique_id}-matrix {{
  font: {char_height}px/{line_height}px "Iosevka", "SF Mono", Menlo, Consolas,
    "DejaVu Sans Mono", monospace;
  font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect fill="#f7f7f5" width="100%" height="100%" rx="6"/>
<g transform="translate(16, 12)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    """Run the command and draw what it prints."""
    env = {**os.environ, "COLUMNS": str(WIDTH), "FORCE_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *COMMAND],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = done.stdout.splitlines()
    plain = [Text.from_ansi(line).plain for line in printed]
    first = next(n for n, line in enumerate(plain) if line.startswith(FIRST))
    shown = "\n".join(
        [
            f"\x1b[2m$ {' '.join(COMMAND)}\x1b[0m",
            "",
            *printed[:2],
            "\x1b[2m...\x1b[0m",
            "",
            *printed[first : first + LINES],
        ]
    )
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text.from_ansi(shown))
    svg = console.export_svg(
        title="", theme=PAPER, code_format=FORMAT, unique_id="cookbook"
    )
    PICTURE.write_text(svg)


if __name__ == "__main__":
    main()
