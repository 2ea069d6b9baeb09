"""What pyproject.toml cannot say: where the configurations go, and the text for a package index."""

import pathlib
import re

import setuptools

README = (pathlib.Path(__file__).parent / "README.md").read_text(encoding="utf-8")

setuptools.setup(
    packages=[*setuptools.find_packages(include=["keras_tickets*"]), "keras_tickets.gin_configs"],
    package_dir={"keras_tickets.gin_configs": "gin_configs"},
    package_data={
        "keras_tickets": ["py.typed"],
        "keras_tickets.experiments.report": ["*.html", "*.css", "*.js"],
        "keras_tickets.gin_configs": ["*/*.gin"],
    },
    # A link to a file of the repository leads nowhere from a package index; its text stays.
    long_description=re.sub(r"\[([^]]+)\]\((?!https?:)[^)]+\)", r"\1", README),
    long_description_content_type="text/markdown",
)
