"""The explorer: the book as a static site, made from its files."""
