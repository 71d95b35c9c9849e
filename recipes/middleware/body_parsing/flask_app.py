"""Body parsing in Flask: the request parses, the view sets its limits.

Idiom: limits are set on the request before `request.form` is touched.
"""

import os
import shutil
from typing import Any

from flask import Blueprint, Flask, abort, request, send_file, url_for
from flask.typing import ResponseReturnValue
from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, Range, Regexp
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException, UnsupportedMediaType
from werkzeug.formparser import FormDataParser

from frameworks.flask.problems import CarefulRequest, register_problems
from shared import documents, forms
from shared.documents import Document, Draft

DOCUMENTS_DIR = os.environ.get("DOCUMENTS_DIR", "documents")
UPLOAD_BYTES_MAX = int(os.environ.get("UPLOAD_BYTES_MAX", str(2**24)))
TEXT_BYTES_MAX = int(os.environ.get("TEXT_BYTES_MAX", str(2**18)))
PARTS_MAX = int(os.environ.get("PARTS_MAX", "10"))
NOTE_TYPES = "application/json, application/x-www-form-urlencoded"

dropbox = Blueprint("dropbox", __name__)


class StrictParser(FormDataParser):
    """A parser that says what it cannot read, where Flask sees no form."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # rule: whole-or-nothing
        kwargs["silent"] = False
        super().__init__(*args, **kwargs)


class UploadRequest(CarefulRequest):
    """A request whose form is read strictly."""

    form_data_parser_class = StrictParser


class UnreadTypeError(UnsupportedMediaType):
    """415, with what would have been read."""

    def __init__(self, **headers: str) -> None:
        super().__init__()
        self.headers = {k.replace("_", "-"): v for k, v in headers.items()}

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Add them to the headers of the page."""
        return [*super().get_headers(*args, **kwargs), *self.headers.items()]


class UploadField(fields.Field[FileStorage]):
    """A part that is a file, with a name."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, FileStorage) or not value.filename:
            raise ValidationError("Not a file.")
        return value


def priority_field(*, strict: bool) -> fields.Integer:
    """Describe a priority, which text may stand for unless `strict`."""
    return fields.Integer(
        strict=strict,
        load_default=documents.PRIORITY_DEFAULT,
        validate=Range(*documents.PRIORITIES),
    )


class DocumentInput(Schema):
    """The parts of an upload."""

    title = fields.String(
        required=True,
        validate=[
            Length(max=documents.TITLE_LENGTH),
            Regexp(documents.TITLE),
        ],
    )
    priority = priority_field(strict=False)
    file = UploadField(required=True)


class NoteInput(Schema):
    """A note as a client sends it in JSON."""

    title = DocumentInput._declared_fields["title"]
    priority = priority_field(strict=True)
    text = fields.String(required=True, validate=Regexp(documents.TEXT))


class NoteForm(NoteInput):
    """A note as a client sends it in a form."""

    # rule: one-meaning
    priority = priority_field(strict=False)


@dropbox.post("/documents")
def create_document() -> ResponseReturnValue:
    """Take a file, and what is said about it."""
    # rule: by-type
    if request.mimetype != "multipart/form-data":
        raise UnreadTypeError(Accept="multipart/form-data")
    limit_body(UPLOAD_BYTES_MAX)
    found = DocumentInput().load(read_parts())
    with Draft(DOCUMENTS_DIR) as draft:
        # rule: streamed
        shutil.copyfileobj(found["file"].stream, draft, documents.PIECE)
        document = draft.keep(
            found["title"],
            found["priority"],
            found["file"].filename,
            found["file"].content_type,
        )
    return show_new(document)


def limit_body(limit: int) -> None:
    """Refuse a length over the limit, and more bytes than that.

    By itself a request refuses a form of exactly the limit, and cuts
    anything else in chunks down to it: both are told one byte later.
    """
    # rule: body-limit
    if (request.content_length or 0) > limit:
        abort(413)
    # rule: body-limit
    request.max_content_length = limit + 1


def read_parts() -> dict[str, Any]:
    """Read the fields and files of a multipart body."""
    try:
        parts = [
            *request.form.items(multi=True),
            *request.files.items(multi=True),
        ]
        found = forms.fold(parts)
    except HTTPException:
        raise
    # The parser has `ValueError`, and servers have errors of their own.
    except Exception:
        abort(400)
    # rule: whole-or-nothing
    if request.content_length not in (None, request.stream.tell()):
        abort(400)
    return found


def read_note() -> dict[str, Any]:
    """Read a note as its type says."""
    match request.mimetype:
        case "application/json":
            read_text()
            return dict(NoteInput().load(request.get_json()))
        case "application/x-www-form-urlencoded":
            try:
                form = forms.loads(read_text(), PARTS_MAX)
            except forms.TooManyFieldsError:
                abort(413)
            except ValueError:
                abort(400)
            return dict(NoteForm().load(form))
    # rule: by-type
    raise UnreadTypeError(Accept=NOTE_TYPES)


@dropbox.post("/notes")
def create_note() -> ResponseReturnValue:
    """Take a note, and make a document of it."""
    note = read_note()
    with Draft(DOCUMENTS_DIR) as draft:
        draft.write(note["text"].encode())
        document = draft.keep(
            note["title"], note["priority"], "note.txt", "text/plain"
        )
    return show_new(document)


def read_text() -> bytes:
    """Read a body whole; one that was cut comes without a word."""
    limit_body(TEXT_BYTES_MAX)
    data = request.get_data()
    # rule: body-limit
    if len(data) > TEXT_BYTES_MAX:
        abort(413)
    # rule: whole-or-nothing
    if request.content_length not in (None, len(data)):
        abort(400)
    return data


def show_new(document: Document) -> ResponseReturnValue:
    """Show a document that has just been made."""
    location = url_for("dropbox.get_document", document_id=document.id)
    return document.to_json(), 201, {"Location": location}


def find_document(document_id: str) -> Document:
    """Find a document, or answer that there is none."""
    document = documents.find_document(DOCUMENTS_DIR, document_id)
    if document is None:
        abort(404)
    return document


@dropbox.get("/documents/<document_id>")
def get_document(document_id: str) -> ResponseReturnValue:
    """Tell what is known of a document."""
    return find_document(document_id).to_json()


@dropbox.get("/documents/<document_id>/content")
def get_content(document_id: str) -> ResponseReturnValue:
    """Send the content of a document, as bytes and nothing else."""
    document = find_document(document_id)
    response = send_file(
        documents.content_path(DOCUMENTS_DIR, document),
        # rule: plain-download
        mimetype=documents.OCTETS,
        # rule: plain-download
        as_attachment=True,
        # rule: plain-download
        download_name=document.name,
    )
    # rule: plain-download
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def refuse_encoding() -> None:
    """Read no body that is encoded; small ones can be huge inside."""
    coding = request.headers.get("Content-Encoding", "identity")
    # rule: no-encoding
    if coding.lower() != "identity":
        raise UnreadTypeError(Accept_Encoding="identity")


def prepare() -> None:
    """Make the folder, once, before any worker starts."""
    documents.open_folder(DOCUMENTS_DIR)


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    # rule: part-limits
    app.config["MAX_FORM_MEMORY_SIZE"] = TEXT_BYTES_MAX
    # rule: part-limits
    app.config["MAX_FORM_PARTS"] = PARTS_MAX
    register_problems(app)
    app.request_class = UploadRequest
    app.before_request(refuse_encoding)
    app.register_blueprint(dropbox)
    return app
