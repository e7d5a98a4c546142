"""Signing in with a token, and signing out."""

from flask import Response, request

from ingestd.web.pages.layout import back, local_address, render
from ingestd.web.security import session
from ingestd.web.security.tokens import Tokens

UNKNOWN_TOKEN = "Unknown token. Ask your administrator for one."


class SignIn:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def sign_in(self) -> Response:
        token = request.form.get("token", "").strip().encode()
        identity, following = self._tokens.find(token), local_address(request.form.get("next", ""))
        if identity is None:
            return render("sign_in.html", 401, next=following, wrong=UNKNOWN_TOKEN)
        response = back(following)
        # Only the browser's Origin reliably shows that a proxy in front was reached over HTTPS.
        secure = request.headers.get("Origin", "").startswith("https:")
        session.open_session(response, identity, token, secure=secure)
        return response

    def sign_out(self) -> Response:
        response = back("/")
        session.close_session(response)
        return response
