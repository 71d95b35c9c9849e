"""A drop box: documents in a folder, each whole or not there.

A document is a folder of two files under a name that was made here. What
the client calls it is text, cleaned and kept inside. It touches the disk,
and nothing of a request: the same in five frameworks.
"""

import json
import re
import shutil
import tempfile
import unicodedata
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

TITLE = re.compile(r"^[^\x00-\x1f\x7f\ud800-\udfff]+\Z")
TITLE_LENGTH = 200
TEXT = re.compile(r"^[^\x00\ud800-\udfff]*\Z")
PRIORITIES = (1, 5)
PRIORITY_DEFAULT = 3
NAME_LENGTH = 100
OCTETS = "application/octet-stream"
PIECE = 2**16

_DRAFT = "draft-"
_ID = re.compile(r"[0-9a-f]{32}")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,60}/[\w!#$&^.+-]{1,60}", re.ASCII)
_SUFFIX = re.compile(r"\.[^. ]{1,10}\Z")
_NOT_IN_NAMES = re.compile(r'[<>:"|?*]')
_EDGES = re.compile(r"^[\s.]+|[\s.]+\Z")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|\Z)", re.IGNORECASE)


@dataclass(frozen=True)
class Document:
    """What is known of a document."""

    id: str
    title: str
    priority: int
    name: str
    media_type: str
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Show it as JSON has it."""
        return asdict(self)


class Draft:
    """A document in the making; gone afterwards, unless it was kept."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._home = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder))
        self._content = (self._home / "content").open("wb")
        self._digest = sha256()
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._content.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def write(self, data: bytes) -> int:
        """Write the next piece."""
        self._digest.update(data)
        self._size += len(data)
        return self._content.write(data)

    def keep(
        self, title: str, priority: int, name: str, claimed: str | None
    ) -> Document:
        """Make it a document, under its name, in one step."""
        document = Document(
            # rule: own-names
            id=uuid4().hex,
            title=title,
            priority=priority,
            # rule: own-names
            name=clean_name(name),
            media_type=clean_type(claimed),
            size=self._size,
            sha256=self._digest.hexdigest(),
        )
        self._content.close()
        about = json.dumps(document.to_json())
        (self._home / "about.json").write_text(about)
        self._home.rename(self._folder / document.id)
        return document


def open_folder(folder: str) -> None:
    """Make the folder, and clear what a crash has left in it."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for draft in Path(folder).glob(f"{_DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)


def find_document(folder: str, identifier: str) -> Document | None:
    """Find a document; what is no id of ours is never a path."""
    # rule: own-names
    if not _ID.fullmatch(identifier):
        return None
    try:
        about = (Path(folder) / identifier / "about.json").read_text()
    except FileNotFoundError:
        return None
    return Document(**json.loads(about))


def content_path(folder: str, document: Document) -> Path:
    """Say where the content of a document lies."""
    return Path(folder).absolute() / document.id / "content"


def clean_name(claimed: str) -> str:
    """Make a name that is safe to show, and to save under.

    The last step of a path, without control characters and marks that
    nobody sees; what Windows has another use for becomes `_`.
    """
    # rule: own-names
    claimed = re.split(r"[/\\]", claimed)[-1]
    text = unicodedata.normalize("NFC", claimed)
    # rule: own-names
    text = "".join(filter(_is_seen, text))
    # rule: own-names
    text = _NOT_IN_NAMES.sub("_", text)
    # rule: own-names
    text = _EDGES.sub("", text)
    # rule: own-names
    text = _cut(text)
    if _DEVICE.match(text):
        text = f"_{text}"
    return text or "document"


def _is_seen(character: str) -> bool:
    """Tell what is drawn, or a space, from controls and formats."""
    kind = unicodedata.category(character)
    return not kind.startswith("C") and kind not in ("Zl", "Zp")


def _cut(name: str) -> str:
    """Cut a name to its length, and leave its suffix."""
    suffix = _SUFFIX.search(name)
    end = suffix[0] if suffix else ""
    stem = name.removesuffix(end)[: NAME_LENGTH - len(end)]
    return _EDGES.sub("", stem) + end


def clean_type(claimed: str | None) -> str:
    """Take a media type as claimed, if it is one."""
    kind = (claimed or "").partition(";")[0].strip().lower()
    return kind if _MEDIA_TYPE.fullmatch(kind) else OCTETS
