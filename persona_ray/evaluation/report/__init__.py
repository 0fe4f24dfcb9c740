"""The report: one HTML file that needs no network, and its figures as JSON beside it."""

from persona_ray.evaluation.report.data import ReportData
from persona_ray.evaluation.report.render import write_report

__all__ = ["ReportData", "write_report"]
