"""RE2 patterns: against Python's `re` where both have the same syntax, refusals where RE2 refuses, time in any case."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.re2 import Pattern, PatternError

LETTERS = "ab1-\n"
ATOMS = ["a", "b", "1", "\\-", ".", "[ab]", "[^a]", "\\d", "\\w", "[a-b1]", "^", "$", "\\b", ""]
REPETITIONS = ["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{1,}"]


@st.composite
def patterns(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0:
        return draw(
            st.sampled_from(["a", "b", "1", "\\-", ".", "[ab]", "[^a]", "\\d", "\\w", "[a-b1]", "^", "$", "\\b", ""])
        )
    parts = [
        patterns(depth - 1),
        st.tuples(patterns(depth - 1), patterns(depth - 1)).map("".join),
        st.tuples(patterns(depth - 1), patterns(depth - 1)).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(patterns(0), st.sampled_from(REPETITIONS)).map("(?:{0[0]}){0[1]}".format),
        patterns(depth - 1).map("({})".format),
    ]
    return draw(st.one_of(parts))


@given(patterns(), st.lists(st.text(LETTERS, max_size=6), min_size=1, max_size=5))
def test_as_python_matches(pattern: str, texts: list[str]) -> None:
    compiled = Pattern(pattern)
    # In RE2 the end is the end, in Python it may stand before a last newline.
    theirs = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    for text in texts:
        assert compiled.matches(text) == (theirs.fullmatch(text) is not None), (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"", [""], ["a"]),
        (r"a|b|", ["a", "b", ""], ["ab"]),
        (r"order-\d{2,3}", ["order-12", "order-123"], ["order-1", "order-1234"]),
        (r"a{2,}", ["aa", "aaaa"], ["a"]),
        (r"a{0}b", ["b"], ["ab"]),
        (r"a{,2}", ["a{,2}"], ["aa"]),
        (r"a{x", ["a{x"], ["a"]),
        (r"(?i)Abc", ["aBC", "abc"], ["abd"]),
        (r"(?i:A)b", ["ab", "Ab"], ["aB"]),
        (r"((?i)a)b", ["Ab"], ["AB"]),
        (r"(?s).", ["\n"], [""]),
        (r"(?m)a$\n^b", ["a\nb"], ["ab"]),
        (r"(?U)a*", ["", "aaa"], ["b"]),
        (r"(?s-i:.)", ["\n"], []),
        (r"(?P<name>a)(?<other>b)", ["ab"], ["a"]),
        (r"\Qa.b*\E+", ["a.b*", "a.b**"], ["axb"]),
        (r"\Qa.b", ["a.b"], ["axb"]),
        (r"[[:alpha:]_]+", ["aB_"], ["a1"]),
        (r"[[:^digit:]]", ["a"], ["1"]),
        (r"[\d\-x]+", ["1-x"], ["y"]),
        (r"[]a]+", ["]a"], ["b"]),
        (r"[^]a]", ["b"], ["]", "a"]),
        (r"[a-]", ["a", "-"], ["b"]),
        (r"\pL\p{Nd}\P{L}\p{^L}", ["ä1--"], ["11--"]),
        (r"\x41\x{1F600}\101\n", ["A\U0001f600A\n"], ["A"]),
        (r"\Aa\z", ["a"], ["ab"]),
        (r".*\bx\b.*", ["a x b", "x"], ["axb"]),
        (r"a\Bb", ["ab"], ["a"]),
        (r"\S\W\D", ["a-b"], ["a-1"]),
        (r"a*?b+?c??", ["aabbc", "b"], ["a"]),
    ],
)
def test_matches(pattern: str, yes: list[str], no: list[str]) -> None:
    compiled = Pattern(pattern)
    assert [text for text in yes if not compiled.matches(text)] == []
    assert [text for text in no if compiled.matches(text)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "(",
            ")",
            "(ab(c",
            "[",
            "[a",
            "[z-a]",
            "*",
            "+a",
            "?",
            "a**",
            "a+*",
            "a{2}{3}",
            "a|*",
            "(*)",
            "\\",
            "\\1",
            "\\8",
        ),
        *("(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a)", "(?#c)", "(?P=n)", "(?P<>a)", "(?P<a-b>c)", "(?z)", "(?i"),
        *(
            "a{1001}",
            "a{2,1}",
            "a{1,1001}",
            "a{99999}",
            "[[:nothing:]]",
            "\\p{Greekish}",
            "\\p{L",
            "\\xg1",
            "\\x{110000}",
        ),
        *("\\C", "\\Z", "\\y", "\\x", "\\x1", "(?i-", "(" * 5000, "((a{900}){900})"),
    ],
)
def test_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        Pattern(pattern)


@given(st.text("ab()[]{}|*+?^$.\\-,0123pPQEx:<>=!i", max_size=25))
def test_anything_is_a_pattern_or_refused(text: str) -> None:
    try:
        compiled = Pattern(text)
    except PatternError:
        return
    compiled.matches("ab")


def test_no_pattern_takes_long() -> None:
    assert not Pattern("(a+)+b").matches("a" * 10_000)
    assert not Pattern("(a|aa)+$b").matches("a" * 10_000)


@pytest.mark.parametrize("pattern", ["(a?){1000}a{1000}", "(a|b)*a(a|b){900}"])
def test_a_pattern_made_to_take_long_is_done_in_portions_and_given_up(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.re2.pattern.MAX_VISITS", 200_000)
    compiled = Pattern(pattern)
    portions = 0
    with pytest.raises(PatternError):  # noqa: PT012
        for number in range(1000):
            for _ in compiled.matching(f"{number:b}".replace("1", "a").replace("0", "b") * 100):
                portions += 1
    assert 10 <= portions <= 30


def test_what_is_remembered_of_a_pattern_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.re2.pattern._MAX_REMEMBERED", 1000)
    compiled = Pattern("(a|b)*a(a|b){30}")
    texts = [f"{number:032b}".replace("1", "a").replace("0", "b") for number in range(1 << 30, (1 << 30) + 100)]
    for text in texts:
        assert compiled.matches(text) == (text[-31] == "a")
        assert compiled._size <= 2000


def test_patterns_that_nest_deeply_are_refused_deep_in_the_stack() -> None:
    def below(depth: int) -> None:
        if depth:
            below(depth - 1)
            return
        assert Pattern("(" * 150 + "a" + ")" * 150).matches("a")
        with pytest.raises(PatternError):
            Pattern("(" * 151 + "a" + ")" * 151)

    below(200)
