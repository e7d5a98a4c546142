"""django-tasks-db, with which line 5 is compared: no-op jobs, one worker, persistent connections.

A process of its own, because Django's settings are global. `django_jobs.py SOCKET PASSWORD PID COUNT` makes the jobs in
a database of their own, runs them, and prints the seconds from the start of the first job to the end of the last, and
the processor seconds of this process and of the server, which is PID.
"""

import sys
import time

import django
import pymysql
from costs import cpu_seconds
from django.conf import settings
from django.core.management import call_command
from django.db.models import Max, Min

NAME = "django_jobs"


def main() -> None:
    socket, password, server, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    configure(socket, password)
    call_command("migrate", verbosity=0)
    print(*spent(server, count))


def configure(socket: str, password: str) -> None:
    # The driver of ingestd, under the version that Django asks for.
    pymysql.version_info = (2, 2, 1, "final", 0)
    pymysql.install_as_MySQLdb()
    database = {
        "ENGINE": "django.db.backends.mysql", "NAME": NAME, "USER": "root", "PASSWORD": password,
        "OPTIONS": {"unix_socket": socket}, "CONN_MAX_AGE": None,
    }  # fmt: skip
    settings.configure(
        DATABASES={"default": database}, INSTALLED_APPS=["django_tasks", "django_tasks_db"], USE_TZ=True,
        TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
    )  # fmt: skip
    django.setup()


def spent(server: int, count: int) -> tuple[float, float]:
    """Seconds and processor seconds in which one worker runs so many jobs, and ends."""
    from django_no_op import no_op
    from django_tasks_db.models import DBTaskResult

    for _ in range(count):
        no_op.enqueue()
    before = cpu_seconds(server) + time.process_time()
    call_command("db_worker", batch=True, startup_delay=False, verbosity=0)
    processor = cpu_seconds(server) + time.process_time() - before
    ended = DBTaskResult.objects.filter(status="SUCCESSFUL")
    assert ended.count() == count, f"{ended.count()} of {count} jobs succeeded"
    over = ended.aggregate(Min("started_at"), Max("finished_at"))
    ended.delete()
    return (over["finished_at__max"] - over["started_at__min"]).total_seconds(), processor


if __name__ == "__main__":
    main()
