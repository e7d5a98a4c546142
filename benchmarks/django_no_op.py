"""A job that does nothing, for django_jobs."""

from django_tasks import task


@task
def no_op() -> None:
    """Nothing."""
