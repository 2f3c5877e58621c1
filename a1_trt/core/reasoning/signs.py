r"""What models write instead of plain LaTeX: one spelling of it for all that compare answers."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

_SIGNS = str.maketrans(
    {
        "−": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "±": r"\pm ", "°": r"^\circ ",
        "º": r"^\circ ", "π": r"\pi ", "∞": r"\infty ", "∅": r"\emptyset ", "∪": r"\cup ", "∩": r"\cap ", "≤": r"\le ",
        "≥": r"\ge ", "≠": r"\ne ", "٫": ".", "٬": ",", "⁄": "/",
        "\u2009": r"\,", "\u202f": r"\,", "\u2062": r"\cdot ", "\u2063": ", ",
    }
)  # fmt: skip
_RULES = tuple(
    (re.compile(pattern), latex)
    for pattern, latex in (
        # A dash between digits is a range.
        (r"(?<!\d)[‐-―]", "-"),
        (r"(?<=\d)(?:\{,\}|,\\! ?|\\,)(?=\d{3}(?!\d))", ","),
        (r"\\(?:left|right)(?![A-Za-z])\.?", ""),
        (r"(?:(?<!\\)\\[,;:! ]|\\q?quad(?![A-Za-z])|~|\s)+", " "),
        (r"\\\$", "$"),
        (r"√ ?(\d+(?:\.\d+)?|[A-Za-z])", r"\\sqrt{\1}"),
        ("√", r"\\sqrt "),
        (r"(\\[A-Za-z]+) (?=\d)", r"\1"),
        (r"\\[dt]frac(?![A-Za-z])", r"\\frac"),
        (r"\\frac ?(\d) ?(\d)", r"\\frac{\1}{\2}"),
        (r"(?<![\w.,/^{])(\d+) (\d+) ?/ ?(\d+)(?![\w.,/^])", r"\1\\frac{\2}{\3}"),
        (r"(?<=\d) (?=\\frac)", ""),
        (r"(?<![\w.}])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?!\w)", r"\1\\cdot10^{\2}"),
        (r"\^\{\\circ\}", r"^\\circ"),
    )
)
_WRAPPED = re.compile(
    r"\*\*([^*]*)\*\*|\\\[(.*)\\\]|\\\((.*)\\\)|\\(?:text|textbf|mathrm|boxed)\{(?=[\s$+.-]*[\d}])([^{}]*)\}", re.DOTALL
)


def plain(answer: str) -> str:
    r"""The answer as LaTeX in ASCII, as far as its signs are known, without what stands around it.

    Signs, digits and fractions of Unicode and mixed numbers are written out, and one space stands for any white space.
    Around the answer go currency signs, ``**``, ``\[ \]``, a ``\text`` that begins with a number, an equals sign in
    front, and a full stop or semicolon at the end.

    Example:
        >>> plain("**2½**."), plain("x²"), plain("–５"), plain("1 1/2"), plain(r"\[ = 1,\!000 \]")
        ('2\\frac{1}{2}', 'x^{2}', '-5', '1\\frac{1}{2}', '1,000')
    """
    text = answer
    if not text.isascii():
        text = "".join(_spelled(tag, "".join(run)) for tag, run in groupby(text.translate(_SIGNS), _tag))
    for pattern, latex in _RULES:
        text = pattern.sub(latex, text)
    text = _stripped(text)
    while wrapped := _WRAPPED.fullmatch(text):
        text = _stripped(wrapped[wrapped.lastindex or 0])
    return text


def _tag(char: str) -> str:
    """What tells how a character is spelled: its category, or the kind of its compatibility form, such as <super>."""
    category = unicodedata.category(char)
    return category if category in ("Cf", "Nd", "Sc") else unicodedata.decomposition(char).partition(" ")[0]


def _spelled(tag: str, run: str) -> str:
    if tag == "Cf":  # zero-width characters and marks of writing direction
        return ""
    if tag == "Sc":
        return "$" * len(run)
    if tag == "Nd":
        return "".join(str(unicodedata.decimal(char)) for char in run)
    text = unicodedata.normalize("NFKC", run).translate(_SIGNS)
    if tag == "<super>":
        return f"^{{{text}}}"
    if tag == "<sub>":
        return f"_{{{text}}}"
    return re.sub(r"(\d+)/(\d+)", r"\\frac{\1}{\2}", text) if tag == "<fraction>" else text


def _stripped(text: str) -> str:
    """The text without signs around it; an ellipsis stays."""
    before = None
    while text != before:
        before, text = text, text.strip(" $;").lstrip("=")
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1]
    return text
