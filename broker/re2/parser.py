"""RE2's syntax: recursive descent over the text, building states as it goes."""

from __future__ import annotations

from typing import Final

from broker.re2.automaton import MAX_STATES, Fragment, State
from broker.re2.characters import (
    ASSERTIONS,
    CLASSES,
    END,
    POSIX,
    PatternError,
    Test,
    between,
    inverted,
    is_word,
    unicode_class,
)

MAX_REPEAT: Final = 1000
# Four calls a level: well within what Python allows, wherever in the broker it is called.
_MAX_DEPTH: Final = 150
ESCAPES: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class Parser:
    """Recursive descent over the text, building states as it goes."""

    def __init__(self, text: str) -> None:
        self.states: list[State] = []
        self._text = _without_quotes(text)
        self._position = 0
        self._depth = 0
        # Flags in force: i, m, s. (U, which swaps greedy and lazy, changes no whole match.)
        self._flags = frozenset[str]()

    # Parts of the automaton

    def _add(self, state: State) -> int:
        if len(self.states) >= MAX_STATES:
            raise PatternError("the expression is too large")
        self.states.append(state)
        return len(self.states) - 1

    def _empty(self) -> Fragment:
        index = self._add(State())
        return Fragment(index, index)

    def _test(self, test: Test) -> Fragment:
        last = self._add(State())
        return Fragment(self._add(State(test=test, next=last)), last)

    def _assert(self, name: str) -> Fragment:
        last = self._add(State())
        return Fragment(self._add(State(assertion=ASSERTIONS[name], next=last)), last)

    def _join(self, one: Fragment, two: Fragment) -> Fragment:
        self.states[one.last].next = two.first
        return Fragment(one.first, two.last)

    def _either(self, one: Fragment, two: Fragment) -> Fragment:
        last = self._add(State())
        self.states[one.last].next = self.states[two.last].next = last
        return Fragment(self._add(State(next=one.first, other=two.first)), last)

    def _copy(self, part: Fragment, begin: int, end: int) -> Fragment:
        """Once more what was built between two positions in the list of states."""
        shift = len(self.states) - begin
        for state in self.states[begin:end]:
            self._add(
                State(
                    state.test,
                    state.assertion,
                    state.next + shift if state.next >= begin else state.next,
                    state.other + shift if state.other >= begin else state.other,
                )
            )
        return Fragment(part.first + shift, part.last + shift)

    def _optional(self, part: Fragment) -> Fragment:
        return self._either(part, self._empty())

    def _any_number(self, part: Fragment) -> Fragment:
        last = self._add(State())
        way = self._add(State(next=part.first, other=last))
        self.states[part.last].next = way
        return Fragment(way, last)

    # The grammar

    def parse(self) -> Fragment:
        whole = self._alternatives()
        if self._position < len(self._text):
            raise PatternError("unexpected )")
        return whole

    def _peek(self) -> str:
        return self._text[self._position] if self._position < len(self._text) else END

    def _take(self) -> str:
        if self._position >= len(self._text):
            raise PatternError("the expression ends too early")
        self._position += 1
        return self._text[self._position - 1]

    def _eat(self, text: str) -> bool:
        if self._text.startswith(text, self._position):
            self._position += len(text)
            return True
        return False

    def _alternatives(self) -> Fragment:
        flags = self._flags
        found = self._sequence()
        while self._eat("|"):
            found = self._either(found, self._sequence())
        self._flags = flags
        return found

    def _sequence(self) -> Fragment:
        found = self._empty()
        while self._peek() not in ("", "|", ")"):
            begin = len(self.states)
            part = self._atom()
            found = self._join(found, self._repeated(part, begin))
        return found

    def _repeated(self, part: Fragment, begin: int) -> Fragment:
        bounds = self._bounds()
        if bounds is None:
            return part
        self._eat("?")
        if self._bounds() is not None:
            raise PatternError("invalid nested repetition operator")
        low, high = bounds
        end = len(self.states)
        if high is None:
            if low == 0:
                return self._any_number(part)
            copies = [part] + [self._copy(part, begin, end) for _ in range(low)]
            last = self._any_number(copies.pop())
        elif high == 0:
            return self._empty()
        else:
            copies = [part] + [self._copy(part, begin, end) for _ in range(high - 1)]
            copies = copies[:low] + [self._optional(each) for each in copies[low:]]
            last = copies.pop()
        found = self._empty()
        for each in copies:
            found = self._join(found, each)
        return self._join(found, last)

    def _bounds(self) -> tuple[int, int | None] | None:
        """How often, None without a limit; None: no repetition here. Braces that hold no numbers are characters."""
        if self._eat("*"):
            return 0, None
        if self._eat("+"):
            return 1, None
        if self._eat("?"):
            return 0, 1
        if self._peek() != "{":
            return None
        inside, brace, _ = self._text[self._position + 1 :].partition("}")
        low, comma, high = inside.partition(",")
        numbers = [low, high] if high else [low]
        if not brace or not all(each.isascii() and each.isdigit() for each in numbers):
            return None
        self._position += len(inside) + 2
        if any(len(each) > 4 for each in numbers):
            raise PatternError("invalid repeat count")
        least = int(low)
        most = int(high) if high else None if comma else least
        if least > MAX_REPEAT or (most is not None and not least <= most <= MAX_REPEAT):
            raise PatternError("invalid repeat count")
        return least, most

    def _atom(self) -> Fragment:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._test(self._folded(self._char_class()))
        if char == ".":
            return self._test((lambda _: True) if "s" in self._flags else (lambda c: c != "\n"))
        if char == "^":
            return self._assert("line begin" if "m" in self._flags else "begin")
        if char == "$":
            return self._assert("line end" if "m" in self._flags else "end")
        if char in "*+?":
            raise PatternError("missing argument to repetition operator")
        if char == "\\":
            return self._escaped()
        return self._literal(char)

    def _literal(self, char: str) -> Fragment:
        return self._test(self._folded(char.__eq__))

    def _folded(self, test: Test) -> Test:
        if "i" not in self._flags:
            return test
        return lambda c: test(c) or test(c.lower()) or test(c.upper())

    def _group(self) -> Fragment:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise PatternError("expression nests too deeply")
        flags = self._flags
        if self._eat("?"):
            if self._eat("P<") or (
                self._peek() == "<" and self._text[self._position + 1 : self._position + 2] not in ("=", "!")
            ):
                self._eat("<")
                name, closed, _ = self._text[self._position :].partition(">")
                if not closed or not name or not all(is_word(each) for each in name):
                    raise PatternError("invalid named capture")
                self._position += len(name) + 1
            elif self._set_flags():
                self._depth -= 1
                return self._empty()
        found = self._alternatives()
        if not self._eat(")"):
            raise PatternError("missing closing )")
        self._flags = flags
        self._depth -= 1
        return found

    def _set_flags(self) -> bool:
        """`(?i)` is in force for what follows, True; `(?i:` within the group, False."""
        on, off = set(self._flags), False
        while True:
            char = self._take()
            if char in "imsU":
                (on.discard if off else on.add)(char)
            elif char == "-" and not off:
                off = True
            elif char in ":)":
                self._flags = frozenset(on)
                return char == ")"
            else:
                raise PatternError("invalid or unsupported Perl syntax")

    def _escaped(self) -> Fragment:
        char = self._take()
        if char == "A":
            return self._assert("begin")
        if char == "z":
            return self._assert("end")
        if char == "b":
            return self._assert("word")
        if char == "B":
            return self._assert("no word")
        self._position -= 1
        test = self._class_escape()
        return self._literal(self._char_escape()) if test is None else self._test(self._folded(test))

    def _class_escape(self) -> Test | None:
        """After a backslash: a class of characters, or None (nothing is taken then)."""
        char = self._peek()
        if char.lower() in CLASSES and char:
            self._position += 1
            return inverted(CLASSES[char.lower()], char.isupper())
        if char in ("p", "P"):
            self._position += 1
            name = self._take()
            if name == "{":
                name, closed, _ = self._text[self._position :].partition("}")
                if not closed:
                    raise PatternError("invalid character class range")
                self._position += len(name) + 1
            negated = char == "P"
            if name.startswith("^"):
                name, negated = name[1:], not negated
            return inverted(unicode_class(name), negated)
        return None

    def _char_escape(self) -> str:
        """After a backslash: one character."""
        char = self._take()
        if char in PUNCTUATION:
            return char
        if char in ESCAPES:
            return ESCAPES[char]
        if char in "01234567":
            # \1 to \7 alone would refer back to a group.
            digits = char
            while len(digits) < 3 and self._peek() and self._peek() in "01234567":
                digits += self._take()
            if char != "0" and len(digits) < 2:
                raise PatternError("invalid escape sequence")
            return chr(int(digits, 8))
        if char == "x":
            return self._hexadecimal()
        raise PatternError("invalid escape sequence")

    def _hexadecimal(self) -> str:
        """\\x41 or \\x{1F600}."""
        rest = self._text[self._position : self._position + 10]
        if rest.startswith("{"):
            digits, closed, _ = rest[1:].partition("}")
            size = len(digits) + 2
            valid = bool(closed) and 0 < len(digits) <= 6
        else:
            digits = rest[:2]
            size = 2
            valid = len(digits) == 2
        if not valid or not all(POSIX["xdigit"](each) for each in digits) or int(digits, 16) > 0x10FFFF:
            raise PatternError("invalid escape sequence")
        self._position += size
        return chr(int(digits, 16))

    def _char_class(self) -> Test:
        negated = self._eat("^")
        tests: list[Test] = []
        first = True
        while first or self._peek() != "]":
            first = False
            if self._eat("[:"):
                name, closed, _ = self._text[self._position :].partition(":]")
                refused = name.startswith("^")
                if not closed or name.removeprefix("^") not in POSIX:
                    raise PatternError("invalid character class range")
                self._position += len(name) + 2
                tests.append(inverted(POSIX[name.removeprefix("^")], refused))
                continue
            if self._peek() == "\\":
                self._position += 1
                test = self._class_escape()
                if test is not None:
                    tests.append(test)
                    continue
                self._position -= 1
            low = self._class_char()
            high = low
            if self._peek() == "-" and self._text[self._position + 1 : self._position + 2] not in ("]", ""):
                self._position += 1
                high = self._class_char()
                if high < low:
                    raise PatternError("invalid character class range")
            tests.append(between(low, high))
        self._take()
        return inverted(lambda c: any(test(c) for test in tests), negated)

    def _class_char(self) -> str:
        char = self._take()
        return self._char_escape() if char == "\\" else char


def _without_quotes(text: str) -> str:
    """`\\Q...\\E` taken apart: its punctuation is escaped."""
    if "\\Q" not in text:
        return text
    found = []
    position = 0
    while position < len(text):
        if text.startswith("\\Q", position):
            quoted, _, _ = text[position + 2 :].partition("\\E")
            found += ["\\" + each if each in PUNCTUATION else each for each in quoted]
            position += len(quoted) + 4
        else:
            step = 2 if text[position] == "\\" else 1
            found.append(text[position : position + step])
            position += step
    return "".join(found)
