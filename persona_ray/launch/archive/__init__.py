"""The whole archive recognised: the job, its workers, its results."""
