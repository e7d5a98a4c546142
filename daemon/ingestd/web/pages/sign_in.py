"""Signing in with a token, and out."""

from flask import Response, request

from ingestd.web.pages.layout import back, local_address, render
from ingestd.web.security import session
from ingestd.web.security.tokens import Tokens

WRONG = "This is no token of the tokens file. Ask whoever runs ingestd for one."


class SignIn:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def sign_in(self) -> Response:
        token = request.form.get("token", "").strip().encode()
        identity, following = self._tokens.find(token), local_address(request.form.get("next", ""))
        if identity is None:
            return render("sign_in.html", 401, next=following, wrong=WRONG)
        response = back(following)
        # No header tells reliably that a proxy took this over HTTPS, but for the browser's own word.
        secure = request.headers.get("Origin", "").startswith("https:")
        session.open_session(response, identity, token, secure=secure)
        return response

    def sign_out(self) -> Response:
        response = back("/")
        session.close_session(response)
        return response
