"""The product's own database: a repository for each kind of record, all behind `Store`."""

from persona_ray.store.annotations import Annotation, AnnotationRepository, SaveCounts
from persona_ray.store.open import Forgotten, Store, open_audited, open_store
from persona_ray.store.recognitions import (
    ArchivedCall,
    ArchivedCustomer,
    RecognitionModel,
    RecognitionRepository,
)
from persona_ray.store.rollouts import RolloutRecord, RolloutRepository
from persona_ray.store.splits import Assignment, SplitRepository
from persona_ray.store.urls import expand_url, printable_url

__all__ = [
    "Annotation",
    "AnnotationRepository",
    "ArchivedCall",
    "ArchivedCustomer",
    "Assignment",
    "Forgotten",
    "RecognitionModel",
    "RecognitionRepository",
    "RolloutRecord",
    "RolloutRepository",
    "SaveCounts",
    "SplitRepository",
    "Store",
    "expand_url",
    "open_audited",
    "open_store",
    "printable_url",
]
