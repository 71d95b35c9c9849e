"""Body parsing in aiohttp: a reader goes through the parts as they come.

Idiom: the handler reads; what it does not ask for is never read.
"""

import asyncio
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from frameworks.aiohttp.problems import (
    BodyError,
    answer_problems,
    read_json,
)
from shared import documents, forms
from shared.documents import Document, Draft

DOCUMENTS_DIR = os.environ.get("DOCUMENTS_DIR", "documents")
UPLOAD_BYTES_MAX = int(os.environ.get("UPLOAD_BYTES_MAX", str(2**24)))
TEXT_BYTES_MAX = int(os.environ.get("TEXT_BYTES_MAX", str(2**18)))
PARTS_MAX = int(os.environ.get("PARTS_MAX", "10"))
NOTE_TYPES = "application/json, application/x-www-form-urlencoded"

routes = web.RouteTableDef()


@dataclass(frozen=True)
class Upload:
    """What was said about a file that was read."""

    name: str
    media_type: str | None


class FieldsInput(BaseModel):
    """The fields that a note and an upload have in common."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(
        max_length=documents.TITLE_LENGTH, pattern=documents.TITLE
    )
    priority: int = Field(
        documents.PRIORITY_DEFAULT,
        ge=documents.PRIORITIES[0],
        le=documents.PRIORITIES[1],
    )


class DocumentInput(FieldsInput):
    """The parts of an upload."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    file: Upload


class NoteInput(FieldsInput):
    """A note as a client sends it, in JSON or in a form."""

    # rule: one-meaning
    model_config = ConfigDict(strict=True)

    text: str = Field(pattern=documents.TEXT)


@routes.post("/documents", name="documents")
async def create_document(request: web.Request) -> web.Response:
    """Take a file, and what is said about it."""
    # rule: by-type
    if request.content_type != "multipart/form-data":
        raise refuse_type(Accept="multipart/form-data")
    limit_length(request, UPLOAD_BYTES_MAX)
    with Draft(DOCUMENTS_DIR) as draft:
        parts = await read_parts(request, draft)
        found = check(DocumentInput, parts)
        document = await asyncio.to_thread(
            draft.keep,
            found.title,
            found.priority,
            found.file.name,
            found.file.media_type,
        )
    return show_new(request, document)


async def read_parts(request: web.Request, draft: Draft) -> dict[str, Any]:
    """Read the fields, and the file into a draft, part by part."""
    parts: list[tuple[str, Any]] = []
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            parts.append(await read_part(request, part, draft))
            # rule: part-limits
            if len(parts) > PARTS_MAX:
                raise web.HTTPRequestEntityTooLarge(PARTS_MAX)
        # What follows the last boundary counts, and has to end.
        while await request.content.readany():
            check_size(request)
        return forms.fold(parts)
    # rule: whole-or-nothing
    except (ValueError, RuntimeError, ConnectionError):
        raise web.HTTPBadRequest from None
    except (HttpProcessingError, web.RequestPayloadError):
        raise web.HTTPBadRequest from None


async def read_part(
    request: web.Request, part: Any, draft: Draft
) -> tuple[str, Any]:
    """Read one part: a file into the draft, a field into memory."""
    if not isinstance(part, BodyPartReader) or part.name is None:
        raise web.HTTPBadRequest
    text = bytearray()
    while piece := await part.read_chunk(documents.PIECE):
        check_size(request)
        if part.filename:
            # rule: streamed
            await asyncio.to_thread(draft.write, piece)
        else:
            text += piece
        # rule: part-limits
        if len(text) > TEXT_BYTES_MAX:
            raise web.HTTPRequestEntityTooLarge(TEXT_BYTES_MAX)
    if part.filename:
        upload = Upload(part.filename, part.headers.get("Content-Type"))
        return part.name, upload
    # rule: utf-8
    return part.name, text.decode()


def limit_length(request: web.Request, limit: int) -> None:
    """Refuse a length over the limit before anything is read."""
    # rule: body-limit
    if (request.content_length or 0) > limit:
        raise web.HTTPRequestEntityTooLarge(limit)


def check_size(request: web.Request) -> None:
    """Refuse more than the limit; `client_max_size` is not for readers."""
    # rule: body-limit
    if request.content.total_bytes > UPLOAD_BYTES_MAX:
        raise web.HTTPRequestEntityTooLarge(UPLOAD_BYTES_MAX)


def check[Model: BaseModel](
    model: type[Model], found: dict[str, Any]
) -> Model:
    """Check fields, whose values are text."""
    try:
        # rule: one-meaning
        return model.model_validate(found, strict=False)
    except ValidationError as error:
        raise BodyError(error) from None


async def read_note(request: web.Request) -> NoteInput:
    """Read a note as its type says."""
    limit_length(request, TEXT_BYTES_MAX)
    match request.content_type:
        case "application/json":
            return await read_json(request, NoteInput)
        case "application/x-www-form-urlencoded":
            try:
                form = forms.loads(await request.read(), PARTS_MAX)
            except forms.TooManyFieldsError:
                raise web.HTTPRequestEntityTooLarge(PARTS_MAX) from None
            except (ValueError, ConnectionError, web.RequestPayloadError):
                raise web.HTTPBadRequest from None
            return check(NoteInput, form)
    # rule: by-type
    raise refuse_type(Accept=NOTE_TYPES)


@routes.post("/notes", name="notes")
async def create_note(request: web.Request) -> web.Response:
    """Take a note, and make a document of it."""
    note = await read_note(request)
    with Draft(DOCUMENTS_DIR) as draft:
        draft.write(note.text.encode())
        document = draft.keep(
            note.title, note.priority, "note.txt", "text/plain"
        )
    return show_new(request, document)


def refuse_type(**headers: str) -> web.HTTPException:
    """Say 415, with what would have been read."""
    return web.HTTPUnsupportedMediaType(
        headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def show_new(request: web.Request, document: Document) -> web.Response:
    """Show a document that has just been made."""
    location = request.app.router["document"].url_for(document_id=document.id)
    return web.json_response(
        document.to_json(), status=201, headers={"Location": str(location)}
    )


def find_document(request: web.Request) -> Document:
    """Find a document, or answer that there is none."""
    document_id = request.match_info["document_id"]
    document = documents.find_document(DOCUMENTS_DIR, document_id)
    if document is None:
        raise web.HTTPNotFound
    return document


@routes.get("/documents/{document_id}", name="document")
async def get_document(request: web.Request) -> web.Response:
    """Tell what is known of a document."""
    return web.json_response(find_document(request).to_json())


@routes.get("/documents/{document_id}/content", name="content")
async def get_content(request: web.Request) -> web.FileResponse:
    """Send the content of a document, as bytes and nothing else."""
    document = find_document(request)
    # aiohttp's own helper writes the header of multipart (RFC 7578).
    name = quote(document.name, safe="")
    return web.FileResponse(
        documents.content_path(DOCUMENTS_DIR, document),
        headers={
            # rule: plain-download
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "Content-Type": documents.OCTETS,
            # rule: plain-download
            "X-Content-Type-Options": "nosniff",
        },
    )


@web.middleware
async def refuse_encoding(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Read no body that is encoded; small ones can be huge inside."""
    coding = request.headers.get("Content-Encoding", "identity")
    # rule: no-encoding
    if coding.lower() != "identity":
        refusal = refuse_type(Accept_Encoding="identity")
        # The server unpacks all the same, and hangs up where it cannot.
        refusal.force_close()
        raise refusal
    return await handler(request)


def prepare() -> None:
    """Make the folder, once, before any worker starts."""
    documents.open_folder(DOCUMENTS_DIR)


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    app = web.Application(
        middlewares=[answer_problems, refuse_encoding],
        # rule: body-limit
        client_max_size=TEXT_BYTES_MAX,
    )
    app.add_routes(routes)
    return app
