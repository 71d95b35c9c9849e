"""Body parsing in Django: upload handlers, a form, a watch over the stream.

Idiom: a view that reads a body is decorated with how much it may be.
"""

import os
from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import (
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.files.uploadedfile import UploadedFile
from django.core.handlers.wsgi import WSGIHandler
from django.core.validators import RegexValidator
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
)
from django.urls import path, reverse
from django.utils.datastructures import MultiValueDict
from django.views.decorators.http import require_POST, require_safe
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.bodies import limit_body
from frameworks.django.config import SETTINGS, configure
from frameworks.django.problems import (
    ProblemError,
    problem_response,
    read_json,
)
from frameworks.django.wsgi import Handler
from shared import documents
from shared.documents import Document, Draft
from shared.forms import TooManyFieldsError, fold, loads
from shared.problems import FieldError, json_pointer, problem_document

DOCUMENTS_DIR = os.environ.get("DOCUMENTS_DIR", "documents")
UPLOAD_BYTES_MAX = int(os.environ.get("UPLOAD_BYTES_MAX", str(2**24)))
TEXT_BYTES_MAX = int(os.environ.get("TEXT_BYTES_MAX", str(2**18)))
PARTS_MAX = int(os.environ.get("PARTS_MAX", "10"))
NOTE_TYPES = "application/json, application/x-www-form-urlencoded"

configure(
    __name__,
    "sqlite://:memory:",
    # rule: part-limits
    DATA_UPLOAD_MAX_MEMORY_SIZE=TEXT_BYTES_MAX,
    # rule: part-limits
    DATA_UPLOAD_MAX_NUMBER_FIELDS=PARTS_MAX,
    # rule: part-limits
    DATA_UPLOAD_MAX_NUMBER_FILES=PARTS_MAX,
    # In the place of `chunked_bodies`, which would hold a file in memory.
    MIDDLEWARE=[*SETTINGS["MIDDLEWARE"][:-1], f"{__name__}.refuse_encoding"],
)


class FieldsError(ProblemError):
    """Fields that cannot be, told one by one."""

    def __init__(self, wrong: dict[str, str]) -> None:
        errors: list[FieldError] = [
            {"pointer": json_pointer([name]), "detail": text}
            for name, text in wrong.items()
        ]
        super().__init__(422, "The body is not valid.", errors)


class FieldsForm(forms.Form):
    """The fields that a note and an upload have in common."""

    title = forms.CharField(
        max_length=documents.TITLE_LENGTH,
        strip=False,
        validators=[RegexValidator(documents.TITLE)],
    )
    priority = forms.IntegerField(
        min_value=documents.PRIORITIES[0],
        max_value=documents.PRIORITIES[1],
    )


class DocumentInput(FieldsForm):
    """The parts of an upload."""

    file = forms.FileField(allow_empty_file=True)


class NoteInput(BaseModel):
    """A note as a client sends it in JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = Field(
        max_length=documents.TITLE_LENGTH, pattern=documents.TITLE
    )
    priority: int = Field(
        documents.PRIORITY_DEFAULT,
        ge=documents.PRIORITIES[0],
        le=documents.PRIORITIES[1],
    )
    text: str = Field(pattern=documents.TEXT)


class NoteForm(FieldsForm):
    """A note as a client sends it in a form."""

    text = forms.CharField(required=False, strip=False)


@require_POST
@limit_body(UPLOAD_BYTES_MAX)
def create_document(request: HttpRequest) -> HttpResponse:
    """Take a file, and what is said about it."""
    # rule: by-type
    if request.content_type != "multipart/form-data":
        return refuse_type("Accept", "multipart/form-data")
    found = check_fields(DocumentInput, read_parts(request))
    with Draft(DOCUMENTS_DIR) as draft:
        # rule: streamed
        for piece in found["file"].chunks():
            draft.write(piece)
        document = draft.keep(
            found["title"],
            found["priority"],
            found["file"].name,
            found["file"].content_type,
        )
    return show_new(document)


def read_parts(request: HttpRequest) -> dict[str, Any]:
    """Read the fields and files of a multipart body."""
    try:
        lists: list[tuple[str, Any]] = [
            *request.POST.lists(),
            *request.FILES.lists(),
        ]
        return fold((name, value) for name, found in lists for value in found)
    # rule: part-limits
    except (TooManyFieldsSent, TooManyFilesSent):
        raise ProblemError(413) from None
    except ValueError:
        raise ProblemError(400) from None


def check_fields(
    form_class: type[forms.Form], found: dict[str, Any]
) -> dict[str, Any]:
    """Check by a form, which by itself takes the last and leaves the rest."""
    texts = {n: v for n, v in found.items() if isinstance(v, str)}
    files = MultiValueDict(
        {n: [v] for n, v in found.items() if isinstance(v, UploadedFile)}
    )
    default = {"priority": documents.PRIORITY_DEFAULT}
    form = form_class(default | texts, files)
    wrong = {name: str(errors[0]) for name, errors in form.errors.items()}
    # rule: one-meaning
    for name in found.keys() - texts.keys() - files.keys():
        wrong[name] = "Given more than once."
    # rule: one-meaning
    for name in found.keys() - form.fields.keys():
        wrong[name] = "Unknown field."
    # Text that may be empty may still not be missing.
    # rule: one-meaning
    for name in form.fields.keys() - form.data.keys() - files.keys():
        wrong[name] = "Missing."
    if wrong:
        raise FieldsError(wrong)
    cleaned: dict[str, Any] = form.cleaned_data
    return cleaned


def read_note(request: HttpRequest) -> dict[str, Any] | None:
    """Read a note as its type says, if it is one of the two."""
    match request.content_type:
        case "application/json":
            return read_json(request, NoteInput).model_dump()
        case "application/x-www-form-urlencoded":
            try:
                form = loads(request.body, PARTS_MAX)
            except TooManyFieldsError:
                raise ProblemError(413) from None
            except ValueError:
                raise ProblemError(400) from None
            return check_fields(NoteForm, form)
    return None


@require_POST
@limit_body(TEXT_BYTES_MAX)
def create_note(request: HttpRequest) -> HttpResponse:
    """Take a note, and make a document of it."""
    note = read_note(request)
    # rule: by-type
    if note is None:
        return refuse_type("Accept", NOTE_TYPES)
    with Draft(DOCUMENTS_DIR) as draft:
        draft.write(note["text"].encode())
        document = draft.keep(
            note["title"], note["priority"], "note.txt", "text/plain"
        )
    return show_new(document)


def refuse_type(header: str, read: str) -> HttpResponse:
    """Answer 415, with what would have been read."""
    response = problem_response(problem_document(415))
    response.headers[header] = read
    return response


def show_new(document: Document) -> HttpResponse:
    """Show a document that has just been made."""
    location = reverse("document", args=[document.id])
    return JsonResponse(
        document.to_json(), status=201, headers={"Location": location}
    )


def find_document(document_id: str) -> Document:
    """Find a document, or answer that there is none."""
    document = documents.find_document(DOCUMENTS_DIR, document_id)
    if document is None:
        raise Http404
    return document


@require_safe
def get_document(_request: HttpRequest, document_id: str) -> HttpResponse:
    """Tell what is known of a document."""
    return JsonResponse(find_document(document_id).to_json())


@require_safe
def get_content(_request: HttpRequest, document_id: str) -> FileResponse:
    """Send the content of a document, as bytes and nothing else."""
    document = find_document(document_id)
    content = documents.content_path(DOCUMENTS_DIR, document)
    return FileResponse(
        content.open("rb"),
        # rule: plain-download
        as_attachment=True,
        # rule: plain-download
        filename=document.name,
        # rule: plain-download
        content_type=documents.OCTETS,
        # rule: plain-download
        headers={"X-Content-Type-Options": "nosniff"},
    )


def refuse_encoding(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Read no body that is encoded; small ones can be huge inside."""

    def middleware(request: HttpRequest) -> HttpResponse:
        coding = request.headers.get("Content-Encoding", "identity")
        # rule: no-encoding
        if coding.lower() != "identity":
            return refuse_type("Accept-Encoding", "identity")
        return get_response(request)

    return middleware


urlpatterns = [
    path("documents", create_document, name="documents"),
    path("documents/<str:document_id>", get_document, name="document"),
    path("documents/<str:document_id>/content", get_content, name="content"),
    path("notes", create_note, name="notes"),
]


def prepare() -> None:
    """Make the folder, once, before any worker starts."""
    documents.open_folder(DOCUMENTS_DIR)


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
