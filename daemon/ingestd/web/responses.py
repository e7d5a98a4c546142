"""How requests are read and answers are written: JSON, times RFC 3339 with Z."""

from typing import Any

import orjson
from flask import Request, Response, request

from ingestd.format.strict_json import repeated_key
from ingestd.store.queries.paging import Page
from ingestd.web.problem import ProblemError

BODY_LIMIT = 64 * 1024
LISTS = ("sync_id",)
"""fields of forms that may have several values"""
_TIMES = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value, option=_TIMES), status, headers, mimetype="application/json")


def page(found: Page[Any]) -> Response:
    """Records, and the cursor of the next page."""
    return answer({"items": found[0], "next": found[1]})


class JsonRequest(Request):
    """A request whose body is JSON, whatever it is called: `curl -d` calls everything a form."""

    max_content_length = BODY_LIMIT

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002
        """The object that was sent; nothing is an empty one. Refuses everything else, and says where it is wrong."""
        data = self.get_data()
        if not data:
            return {}
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise _wrong(place, f"not valid JSON: {error.msg}") from error
        if not isinstance(value, dict):
            raise _wrong("/", "an object is needed")
        if (problem := repeated_key(data)) is not None:
            raise _wrong("/", problem)
        return value


def refuse_repeated_parameters() -> None:
    """Refuses a query, or a form, in which a name has several values: all but one would be ignored."""
    for what, values in (("query parameter ", request.args), ("", request.form)):
        for name, texts in values.lists():
            if len(texts) > 1 and name not in LISTS:
                raise _wrong(f"{what}{name}", "given more than once")


def _wrong(place: str, what: str) -> ProblemError:
    return ProblemError(400, f"The request is wrong at {place}: {what}.", errors=[{"place": place, "problem": what}])
