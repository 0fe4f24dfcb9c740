"""A plot on its own: a document that any viewer draws as the report does."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from persona_ray.evaluation.report.plots import comparison_plot, training_plot
from persona_ray.evaluation.report.standalone import standalone
from tests.unit.evaluation.made_up import full_report


def test_it_is_a_document_whose_colours_are_known() -> None:
    report = full_report()
    assert report.training is not None
    assert report.comparison is not None
    for plot in (training_plot(report.training), comparison_plot(report.comparison)):
        document = standalone(plot)
        root = ElementTree.fromstring(document)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        style = root.find("{http://www.w3.org/2000/svg}style")
        assert style is not None
        assert style.text is not None
        known = set(re.findall(r"(--[a-z0-9-]+):", style.text))
        assert set(re.findall(r"var\((--[a-z0-9-]+)\)", document)) <= known
        assert style.text.count("--ink:") == 2, "light and dark"
        assert style.text.count("{") == style.text.count("}")
