"""The wire as the judge sees it: openapi.yaml."""

from pathlib import Path

import pytest
from openapi_spec_validator import validate
from openapi_spec_validator.readers import read_from_filename
from referencing.exceptions import PointerToNowhere

from tests.house.tree import ROOT, kept_files, name_of

DOCUMENTS = [file for file in kept_files() if file.name == "openapi.yaml"]


def check(path: Path) -> None:
    """Validate a document, with all that it refers to."""
    document, address = read_from_filename(str(path))
    validate(document, base_uri=address)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_description_is_valid(path: Path) -> None:
    """A description is what OpenAPI says it is."""
    check(path)


def test_a_reference_to_nothing_is_noticed(tmp_path: Path) -> None:
    """What a description refers to is looked up."""
    shared = ROOT / "shared" / "openapi.yaml"
    broken = shared.read_text().replace("schemas/PartError", "schemas/None")
    (tmp_path / "openapi.yaml").write_text(broken)
    with pytest.raises(PointerToNowhere):
        check(tmp_path / "openapi.yaml")
