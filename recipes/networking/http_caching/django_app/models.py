"""HTTP caching in Django: a page, with a number for each of its states.

Idiom: a model; the number is a column, so that a tag is one look.
"""

from typing import ClassVar

from django.db import models


class Page(models.Model):
    """A page in one language, with a number for each of its states."""

    slug = models.TextField()
    language = models.TextField()
    title = models.TextField()
    text = models.TextField()
    version = models.IntegerField(default=1)
    edited_at = models.DateTimeField()
    edited_by = models.TextField()

    objects: ClassVar[models.Manager["Page"]] = models.Manager()

    class Meta:
        db_table = "pages"
        constraints = [
            models.UniqueConstraint("slug", "language", name="pages_by_slug"),
        ]
