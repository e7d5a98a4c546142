"""Everything that is refused, or goes wrong, as application/problem+json with a sentence for a person (RFC 9457)."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, NoReturn

import orjson
import structlog
from flask import Flask, Response, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ingestd.errors import (
    DatabaseUnavailable,
    IngestdError,
    ManifestError,
    MountUnavailable,
    NotEligible,
    NotFound,
    RemovalRefused,
)
from ingestd.shortage import shortage_of

log = structlog.get_logger()

MIME = "application/problem+json"
RETRY_SECONDS = "5"
STATUS_OF: tuple[tuple[type[IngestdError], int], ...] = (
    (NotFound, 404),
    (NotEligible, 409),
    (RemovalRefused, 409),
    (ManifestError, 409),
    (MountUnavailable, 503),
    (DatabaseUnavailable, 503),
)
SENTENCES = {
    404: "There is nothing at this address.",
    500: "Internal error; see the log of the daemon.",
}


class ProblemError(Exception):
    """A request is answered with a problem. `extra` are members of their own, beside the sentence."""

    def __init__(self, status: int, sentence: str, *, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(sentence)
        self.status, self.headers, self.extra = status, headers or {}, extra


def status_of(error: IngestdError) -> int:
    """The status that an error of this package is answered with."""
    return next((status for kind, status in STATUS_OF if isinstance(error, kind)), 500)


def problem(status: int, sentence: str, headers: dict[str, str] | None = None, **extra: Any) -> Response:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": sentence, **extra}
    return Response(orjson.dumps(body), status, {**retry(status), **(headers or {})}, mimetype=MIME)


def retry(status: int) -> dict[str, str]:
    """When to ask again, where asking again may help."""
    return {"Retry-After": RETRY_SECONDS} if status == 503 else {}


def register(app: Flask, as_page: Callable[[ProblemError], Response | None]) -> None:
    """Makes every error leave as a problem, or as what `as_page` makes of it for those who read pages."""

    def handle(kind: type[Exception], understand: Callable[[Any], ProblemError]) -> None:
        def respond(error: Exception) -> Response:
            refused = understand(error)
            return as_page(refused) or problem(refused.status, str(refused), refused.headers, **refused.extra)

        app.register_error_handler(kind, respond)

    handle(ProblemError, lambda refused: refused)
    handle(IngestdError, _known)
    handle(HTTPException, _http)
    handle(Exception, _unknown)


def _known(error: IngestdError) -> ProblemError:
    status = status_of(error)
    if status == 500:
        log.error("request_failed", method=request.method, path=request.path, error=str(error))
    return ProblemError(status, str(error))


def _http(error: HTTPException) -> ProblemError:
    code = error.code or 500
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return ProblemError(405, f"This address answers {allowed} only.", headers={"Allow": allowed})
    return ProblemError(code, SENTENCES.get(code) or error.description or HTTPStatus(code).phrase)


def _unknown(error: Exception) -> ProblemError:
    if (shortage := shortage_of(error)) is not None:
        return _known(shortage)
    log.error("request_failed", method=request.method, path=request.path, exc_info=error)
    return ProblemError(500, SENTENCES[500])


def refuse_values(error: ValidationError) -> NoReturn:
    """Says of every wrong value where it is, and what is wrong with it."""
    source = "body" if request.method == "POST" else "query"
    errors = [{"place": _place(source, detail["loc"]), "problem": detail["msg"]} for detail in error.errors()]
    sentence = "; ".join(f"{wrong['place']}: {wrong['problem']}" for wrong in errors)
    raise ProblemError(400, f"The request is wrong at {sentence}.", errors=errors)


def _place(source: str, location: Sequence[int | str]) -> str:
    """A JSON pointer into the body, or the name of a parameter."""
    if source == "query":
        return "query parameter " + ".".join(map(str, location))
    return "/" + "/".join(str(part) for part in location)
