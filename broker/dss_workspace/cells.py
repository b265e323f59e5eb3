"""Texts of strangers, such as names of labels, as cells of a table that people open in a spreadsheet."""

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


def cell(text: str) -> str:
    """``text`` with an apostrophe in front if a spreadsheet would run it as a formula; a number stays as it is.

    Source: OWASP, CSV Injection.
    """
    if not text.startswith(_BEGINNINGS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
