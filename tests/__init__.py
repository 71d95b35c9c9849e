"""Tests; a package, since sniffpy installs one of the same name."""
