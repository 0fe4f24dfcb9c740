"""The product's own database: annotations and split assignments."""

from persona_ray.store.annotations import Annotation, AnnotationRepository, SaveCounts
from persona_ray.store.open import Forgotten, Store, open_store
from persona_ray.store.splits import Assignment, SplitRepository
from persona_ray.store.urls import expand_url, printable_url

__all__ = [
    "Annotation",
    "AnnotationRepository",
    "Assignment",
    "Forgotten",
    "SaveCounts",
    "SplitRepository",
    "Store",
    "expand_url",
    "open_store",
    "printable_url",
]
