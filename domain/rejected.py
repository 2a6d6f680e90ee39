"""How a rule says no."""


class Rejected(Exception):
    """A business rule was broken: a stable `code` for programs, a `sentence` for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
