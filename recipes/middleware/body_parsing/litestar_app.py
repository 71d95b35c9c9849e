"""Body parsing in Litestar: limits on each layer, a form of spooled files.

Idiom: a limit belongs to the layer that it holds for: application or route.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.exceptions import (
    ClientException,
    HTTPException,
    InternalServerException,
    NotFoundException,
    ValidationException,
)
from litestar.response import File
from msgspec import Meta, Struct

from frameworks.litestar.problems import ProblemPlugin, StrictRequest
from shared import documents, forms
from shared.documents import Document, Draft

DOCUMENTS_DIR = os.environ.get("DOCUMENTS_DIR", "documents")
UPLOAD_BYTES_MAX = int(os.environ.get("UPLOAD_BYTES_MAX", str(2**24)))
TEXT_BYTES_MAX = int(os.environ.get("TEXT_BYTES_MAX", str(2**18)))
PARTS_MAX = int(os.environ.get("PARTS_MAX", "10"))
NOTE_TYPES = "application/json, application/x-www-form-urlencoded"


class FieldsInput(Struct, forbid_unknown_fields=True, kw_only=True):
    """The fields that a note and an upload have in common."""

    title: Annotated[
        str,
        Meta(
            max_length=documents.TITLE_LENGTH,
            pattern=documents.TITLE.pattern,
        ),
    ]
    priority: Annotated[
        int, Meta(ge=documents.PRIORITIES[0], le=documents.PRIORITIES[1])
    ] = documents.PRIORITY_DEFAULT


class DocumentInput(FieldsInput, forbid_unknown_fields=True, kw_only=True):
    """The parts of an upload."""

    file: UploadFile


class NoteInput(FieldsInput, forbid_unknown_fields=True, kw_only=True):
    """A note as a client sends it, in JSON or in a form."""

    text: Annotated[str, Meta(pattern=documents.TEXT.pattern)]


class UploadRequest(StrictRequest):
    """A request whose body may break off."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Stream the body; one that breaks off is the client's fault."""
        try:
            async for piece in super().stream():
                yield piece
        except InternalServerException:
            raise ClientException from None


@post(
    "/documents",
    request_class=UploadRequest,
    # rule: body-limit
    request_max_body_size=UPLOAD_BYTES_MAX,
)
async def create_document(request: UploadRequest) -> Response[dict[str, Any]]:
    """Take a file, and what is said about it."""
    # rule: by-type
    if request.content_type[0] != "multipart/form-data":
        raise refuse_type(Accept="multipart/form-data")
    found = check(DocumentInput, await read_parts(request), strict=False)
    with Draft(DOCUMENTS_DIR) as draft:
        # rule: streamed
        await asyncio.to_thread(
            shutil.copyfileobj, found.file.file, draft, documents.PIECE
        )
        document = draft.keep(
            found.title,
            found.priority,
            found.file.filename,
            found.file.headers.get("Content-Type"),
        )
    return show_new(document, request)


async def read_parts(request: UploadRequest) -> dict[str, Any]:
    """Read the fields and files of a multipart body."""
    try:
        pairs = [*(await request.form()).multi_items()]
        found = forms.fold(pairs)
    except ClientException as error:
        # Litestar tells what is too much by its words alone.
        # rule: part-limits
        if error.detail == "Request Entity Too Large":
            raise HTTPException(status_code=413) from None
        raise
    # rule: utf-8
    except (ValueError, LookupError):
        raise ClientException from None
    for _, value in pairs:
        # rule: part-limits
        if isinstance(value, str) and len(value.encode()) > TEXT_BYTES_MAX:
            raise HTTPException(status_code=413)
    return found


def check[Model: Struct](
    model: type[Model], found: Any, *, strict: bool
) -> Model:
    """Check fields, whose values may be text unless `strict`."""
    try:
        return msgspec.convert(found, model, strict=strict)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        wrong = {
            "source": "body",
            "key": "data" + place.removesuffix("`"),
            "message": message,
        }
        raise ValidationException(extra=[wrong]) from None


async def read_note(request: StrictRequest) -> NoteInput:
    """Read a note as its type says."""
    match request.content_type[0]:
        case "application/json":
            # rule: one-meaning
            return check(NoteInput, await request.json(), strict=True)
        case "application/x-www-form-urlencoded":
            try:
                form = forms.loads(await request.body(), PARTS_MAX)
            except forms.TooManyFieldsError:
                raise HTTPException(status_code=413) from None
            except ValueError:
                raise ClientException from None
            # rule: one-meaning
            return check(NoteInput, form, strict=False)
    # rule: by-type
    raise refuse_type(Accept=NOTE_TYPES)


@post(
    "/notes",
    # rule: body-limit
    request_max_body_size=TEXT_BYTES_MAX,
)
async def create_note(request: StrictRequest) -> Response[dict[str, Any]]:
    """Take a note, and make a document of it."""
    note = await read_note(request)
    with Draft(DOCUMENTS_DIR) as draft:
        draft.write(note.text.encode())
        document = draft.keep(
            note.title, note.priority, "note.txt", "text/plain"
        )
    return show_new(document, request)


def refuse_type(**headers: str) -> HTTPException:
    """Say 415, with what would have been read."""
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return HTTPException(status_code=415, headers=named)


def show_new(
    document: Document, request: Request[Any, Any, Any]
) -> Response[dict[str, Any]]:
    """Show a document that has just been made."""
    location = request.app.route_reverse(
        "get_document", document_id=document.id
    )
    return Response(document.to_json(), headers={"Location": location})


def find_document(document_id: str) -> Document:
    """Find a document, or answer that there is none."""
    document = documents.find_document(DOCUMENTS_DIR, document_id)
    if document is None:
        raise NotFoundException
    return document


@get("/documents/{document_id:str}", name="get_document", sync_to_thread=True)
def get_document(document_id: str) -> dict[str, Any]:
    """Tell what is known of a document."""
    return find_document(document_id).to_json()


@get("/documents/{document_id:str}/content", sync_to_thread=True)
def get_content(document_id: str) -> File:
    """Send the content of a document, as bytes and nothing else."""
    document = find_document(document_id)
    return File(
        documents.content_path(DOCUMENTS_DIR, document),
        # rule: plain-download
        filename=document.name,
        # rule: plain-download
        media_type=documents.OCTETS,
        # rule: plain-download
        headers={"X-Content-Type-Options": "nosniff"},
    )


async def refuse_encoding(request: Request[Any, Any, Any]) -> None:
    """Read no body that is encoded; small ones can be huge inside."""
    coding = request.headers.get("Content-Encoding", "identity")
    # rule: no-encoding
    if coding.lower() != "identity":
        raise refuse_type(Accept_Encoding="identity")


def prepare() -> None:
    """Make the folder, once, before any worker starts."""
    documents.open_folder(DOCUMENTS_DIR)


def create_app() -> Litestar:
    """Wire the application."""
    return Litestar(
        [create_document, create_note, get_document, get_content],
        before_request=refuse_encoding,
        # rule: part-limits
        multipart_form_part_limit=PARTS_MAX,
        plugins=[ProblemPlugin()],
    )
