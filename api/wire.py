"""HTTP as it comes over the wire: read in C, and never a head without an end."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX = 65_536
"""Bytes of a request that are neither body nor its end: more are refused, as uvicorn's own do."""


class Wire(HttpToolsProtocol):
    """Closes a connection on which a head, a trailer or the head of a chunk does not end.

    The parser keeps what it has of them, however much that is. `api/bodies.py` bounds bodies.
    """

    _endless = 0

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        self._endless += len(data)
        super().data_received(data)
        if self._endless > HEAD_MAX and not self.transport.is_closing():
            self.send_400_response("The head of this request does not end.")

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._endless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._endless = 0
        super().on_message_complete()
