"""Everything that can be refused is refused by some test: no rule without its counterexample."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.test_architecture import FILES, ROOT, name_of, tree_of

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def refusals(files: list[Path]) -> Iterator[tuple[str, str, ast.expr]]:
    """Every `Rejected(code, sentence)` in the code: where, the code, the sentence."""
    for file in files:
        for node in ast.walk(tree_of(file)):
            match node:
                case ast.Call(
                    func=ast.Name(id="Rejected"), args=[ast.Constant(value=str(code)), said]
                ):
                    yield f"{name_of(file)}:{node.lineno}", code, said


@cache
def codes_in(test: Path) -> set[str]:
    """Every text in a test: a code that is provoked is compared with one of them."""
    nodes = ast.walk(tree_of(test))
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


REFUSALS = list(refusals(FILES))
PURE = [f for f in FILES if f.relative_to(ROOT).parts[0] in ("domain", "commands")]


def test_every_code_of_the_rules_is_provoked_by_a_scenario_or_a_command():
    """In `domain/` and `commands/` a code must be the argument of `rejected(…)` or be compared."""
    provoked = set()
    for folder in ("domain", "commands", "infra", "api"):
        for test in (ROOT / "tests" / folder).rglob("test_*.py"):
            provoked |= codes_in(test)
    codes = {code for _, code, _ in refusals(PURE)}
    assert len(codes) > 25
    assert codes - provoked == set()


def test_every_other_code_is_known_to_some_test():
    known = {code for test in TESTS for code in codes_in(test)}
    assert {code for _, code, _ in REFUSALS} - known == set()


def test_a_code_is_two_words_for_programs_and_a_sentence_is_for_people():
    for place, code, said in REFUSALS:
        subject, _, what = code.partition(".")
        assert subject.replace("_", "").isalpha(), place
        assert what.replace("_", "").isalnum(), place
        assert code == code.lower(), place
        if isinstance(said, ast.Constant):
            assert said.value[0].isupper(), place
            assert said.value.endswith("."), place


def test_no_refusal_escapes_this_search():
    """Each is written as `Rejected("code", …)`, so that it can be found here, and by people."""
    for file in FILES:
        for node in ast.walk(tree_of(file)):
            match node:
                case ast.Call(func=ast.Name(id="Rejected"), args=[first, *_]):
                    passed_on = isinstance(first, ast.Attribute) and first.attr == "code"
                    place = f"{name_of(file)}:{node.lineno}"
                    assert passed_on or isinstance(first, ast.Constant), place
