"""Body parsing in FastAPI: limits on the route, a parser over the stream.

Idiom: dependencies read the request; handlers are given what they need.
"""

import os
import shutil
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
)
from fastapi.datastructures import UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from frameworks.fastapi.problems import StrictRoute, register_problems
from shared import documents, forms
from shared.documents import Document, Draft

DOCUMENTS_DIR = os.environ.get("DOCUMENTS_DIR", "documents")
UPLOAD_BYTES_MAX = int(os.environ.get("UPLOAD_BYTES_MAX", str(2**24)))
TEXT_BYTES_MAX = int(os.environ.get("TEXT_BYTES_MAX", str(2**18)))
PARTS_MAX = int(os.environ.get("PARTS_MAX", "10"))
NOTE_TYPES = "application/json, application/x-www-form-urlencoded"

dropbox = APIRouter(route_class=StrictRoute)


def require_name(upload: UploadFile) -> UploadFile:
    """Tell a file from a field of files that was left empty."""
    if not upload.filename:
        raise ValueError("A file without a name.")
    return upload


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

    file: Annotated[UploadFile, AfterValidator(require_name)]


class NoteInput(FieldsInput):
    """A note as a client sends it, in JSON or in a form."""

    # rule: one-meaning
    model_config = ConfigDict(strict=True)

    text: str = Field(pattern=documents.TEXT)


class PartParser(MultiPartParser):
    """Starlette's parser, without its guesses at text and at the end."""

    ended = False

    def on_part_end(self) -> None:
        """Refuse such text; a guess could not be told from the truth."""
        if self._current_part.file is None:
            # rule: utf-8
            self._current_part.data.decode()
        super().on_part_end()

    def on_end(self) -> None:
        """Note that the last boundary was there."""
        self.ended = True


async def read_form(request: Request) -> FormData:
    """Read the fields and files of a multipart body."""
    parser = PartParser(
        request.headers,
        request.stream(),
        # rule: part-limits
        max_files=PARTS_MAX,
        # rule: part-limits
        max_fields=PARTS_MAX,
        # rule: part-limits
        max_part_size=TEXT_BYTES_MAX,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        # Starlette tells what is too much by its words alone.
        much = error.message.startswith(("Too many", "Part exceeded"))
        raise HTTPException(413 if much else 400) from None
    # rule: whole-or-nothing
    if not parser.ended:
        raise HTTPException(400)
    return form


async def read_document(request: Request) -> AsyncIterator[DocumentInput]:
    """Read an upload, and close its files in the end."""
    # rule: by-type
    if media_type(request) != "multipart/form-data":
        raise refuse_type(Accept="multipart/form-data")
    try:
        form = await read_form(request)
        found = forms.fold(form.multi_items())
    except (ValueError, ClientDisconnect):
        raise HTTPException(400) from None
    try:
        yield check(DocumentInput, found)
    finally:
        await form.close()


def check[Model: BaseModel](model: type[Model], found: Any) -> Model:
    """Check fields, whose values are text."""
    try:
        # rule: one-meaning
        return model.model_validate(found, strict=False)
    except ValidationError as error:
        raise body_error(error) from None


def body_error(error: ValidationError) -> RequestValidationError:
    """Say that it was the body."""
    return RequestValidationError(
        [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
    )


@dropbox.post(
    "/documents",
    status_code=201,
    # rule: body-limit
    max_body_size=UPLOAD_BYTES_MAX,
)
def create_document(
    found: Annotated[DocumentInput, Depends(read_document)],
    request: Request,
    response: Response,
) -> dict[str, Any]:
    """Take a file, and what is said about it."""
    with Draft(DOCUMENTS_DIR) as draft:
        # rule: streamed
        shutil.copyfileobj(found.file.file, draft, documents.PIECE)
        document = draft.keep(
            found.title,
            found.priority,
            found.file.filename or "",
            found.file.content_type,
        )
    return show_new(document, request, response)


async def read_note(request: Request) -> NoteInput:
    """Read a note as its type says."""
    try:
        match media_type(request):
            case "application/json":
                return NoteInput.model_validate(await request.json())
            case "application/x-www-form-urlencoded":
                form = forms.loads(await request.body(), PARTS_MAX)
                return check(NoteInput, form)
    except ValidationError as error:
        raise body_error(error) from None
    except forms.TooManyFieldsError:
        raise HTTPException(413) from None
    except (ValueError, ClientDisconnect):
        raise HTTPException(400) from None
    # rule: by-type
    raise refuse_type(Accept=NOTE_TYPES)


@dropbox.post(
    "/notes",
    status_code=201,
    # rule: body-limit
    max_body_size=TEXT_BYTES_MAX,
)
def create_note(
    note: Annotated[NoteInput, Depends(read_note)],
    request: Request,
    response: Response,
) -> dict[str, Any]:
    """Take a note, and make a document of it."""
    with Draft(DOCUMENTS_DIR) as draft:
        draft.write(note.text.encode())
        document = draft.keep(
            note.title, note.priority, "note.txt", "text/plain"
        )
    return show_new(document, request, response)


def media_type(request: Request) -> str:
    """Say what a body is called."""
    named = request.headers.get("Content-Type", "")
    return named.partition(";")[0].strip().lower()


def refuse_type(**headers: str) -> HTTPException:
    """Say 415, with what would have been read."""
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return HTTPException(415, headers=named)


def show_new(
    document: Document, request: Request, response: Response
) -> dict[str, Any]:
    """Show a document that has just been made."""
    location = request.app.url_path_for(
        "get_document", document_id=document.id
    )
    response.headers["Location"] = location
    return document.to_json()


def find_document(document_id: str) -> Document:
    """Find a document, or answer that there is none."""
    document = documents.find_document(DOCUMENTS_DIR, document_id)
    if document is None:
        raise HTTPException(404)
    return document


@dropbox.get("/documents/{document_id}")
def get_document(
    document: Annotated[Document, Depends(find_document)],
) -> dict[str, Any]:
    """Tell what is known of a document."""
    return document.to_json()


@dropbox.get("/documents/{document_id}/content")
def get_content(
    document: Annotated[Document, Depends(find_document)],
) -> FileResponse:
    """Send the content of a document, as bytes and nothing else."""
    return FileResponse(
        documents.content_path(DOCUMENTS_DIR, document),
        # rule: plain-download
        filename=document.name,
        # rule: plain-download
        media_type=documents.OCTETS,
        # rule: plain-download
        headers={"X-Content-Type-Options": "nosniff"},
    )


async def refuse_encoding(request: Request) -> None:
    """Read no body that is encoded; small ones can be huge inside."""
    coding = request.headers.get("Content-Encoding", "identity")
    # rule: no-encoding
    if coding.lower() != "identity":
        raise refuse_type(Accept_Encoding="identity")


def prepare() -> None:
    """Make the folder, once, before any worker starts."""
    documents.open_folder(DOCUMENTS_DIR)


def create_app() -> FastAPI:
    """Wire the application."""
    app = FastAPI(dependencies=[Depends(refuse_encoding)])
    register_problems(app)
    app.include_router(dropbox)
    return app
