"""Signing in with a token, and signing out."""

from flask import Response, request

from ingestd.web.pages.layout import back, local_address, render
from ingestd.web.problem import RETRY_SECONDS
from ingestd.web.security import session
from ingestd.web.security.guard import TOO_MANY
from ingestd.web.security.tokens import Tokens

UNKNOWN_TOKEN = "Unknown token. Ask your administrator for one."


class SignIn:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def sign_in(self) -> Response:
        token = request.form.get("token", "").strip().encode()
        identity, following = self._tokens.find(token), local_address(request.form.get("next", ""))
        if identity is None:
            return self._refusal(token, following)
        response = back(following)
        # Only the browser's Origin reliably shows that a proxy in front was reached over HTTPS.
        secure = request.headers.get("Origin", "").startswith("https:")
        session.open_session(response, identity, token, secure=secure)
        return response

    def _refusal(self, token: bytes, following: str) -> Response:
        """The form again. An empty token is not a wrong one: people press the button too early."""
        if token and self._tokens.wrong.note(request.remote_addr, "sign-in"):
            response = render("sign_in.html", 429, next=following, wrong=TOO_MANY)
            response.headers["Retry-After"] = RETRY_SECONDS
            return response
        return render("sign_in.html", 401, next=following, wrong=UNKNOWN_TOKEN)

    def sign_out(self) -> Response:
        response = back("/")
        session.close_session(response)
        return response
