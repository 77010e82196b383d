r"""The names that JavaScript allows in ``\p{...}``: exactly these, in exactly this spelling.

The engine is more generous (``\p{han}``, ``\p{Greek}``, ``\p{is L}``), so names are checked here.
"""

from __future__ import annotations

import re
from functools import lru_cache

import regex

__all__ = ("property_item",)

_CATEGORIES = frozenset(
    """
    C Other Cc Control cntrl Cf Format Cn Unassigned Co Private_Use Cs Surrogate
    L Letter LC Cased_Letter Ll Lowercase_Letter Lm Modifier_Letter Lo Other_Letter
    Lt Titlecase_Letter Lu Uppercase_Letter M Mark Combining_Mark Mc Spacing_Mark
    Me Enclosing_Mark Mn Nonspacing_Mark N Number Nd Decimal_Number digit Nl Letter_Number
    No Other_Number P Punctuation punct Pc Connector_Punctuation Pd Dash_Punctuation
    Pe Close_Punctuation Pf Final_Punctuation Pi Initial_Punctuation Po Other_Punctuation
    Ps Open_Punctuation S Symbol Sc Currency_Symbol Sk Modifier_Symbol Sm Math_Symbol
    So Other_Symbol Z Separator Zl Line_Separator Zp Paragraph_Separator Zs Space_Separator
    """.split()
)
_BINARY = frozenset(
    """
    ASCII ASCII_Hex_Digit AHex Alphabetic Alpha Any Assigned Bidi_Control Bidi_C Bidi_Mirrored
    Bidi_M Case_Ignorable CI Cased Changes_When_Casefolded CWCF Changes_When_Casemapped CWCM
    Changes_When_Lowercased CWL Changes_When_NFKC_Casefolded CWKCF Changes_When_Titlecased CWT
    Changes_When_Uppercased CWU Dash Default_Ignorable_Code_Point DI Deprecated Dep Diacritic Dia
    Emoji Emoji_Component EComp Emoji_Modifier EMod Emoji_Modifier_Base EBase Emoji_Presentation
    EPres Extended_Pictographic ExtPict Extender Ext Grapheme_Base Gr_Base Grapheme_Extend Gr_Ext
    Hex_Digit Hex IDS_Binary_Operator IDSB IDS_Trinary_Operator IDST ID_Continue IDC ID_Start IDS
    Ideographic Ideo Join_Control Join_C Logical_Order_Exception LOE Lowercase Lower Math
    Noncharacter_Code_Point NChar Pattern_Syntax Pat_Syn Pattern_White_Space Pat_WS Quotation_Mark
    QMark Radical Regional_Indicator RI Sentence_Terminal STerm Soft_Dotted SD
    Terminal_Punctuation Term Unified_Ideograph UIdeo Uppercase Upper Variation_Selector VS
    White_Space space XID_Continue XIDC XID_Start XIDS
    """.split()
)
_SCRIPT = re.compile(r"[A-Z][a-z]+(?:_[A-Z][a-z]+)*|SignWriting")
_BOTH = re.compile(r"([A-Za-z_]+)=([A-Za-z0-9_]+)")
_PREFIXES = {
    "General_Category": "gc",
    "gc": "gc",
    "Script": "sc",
    "sc": "sc",
    "Script_Extensions": "scx",
    "scx": "scx",
}


def property_item(name: str, *, negated: bool) -> str | None:
    r"""Return what ``\p{name}`` is for the engine; None if JavaScript has no such name.

    :raises LookupError: JavaScript has the name, the engine does not
    """
    known = _known(name)
    if known is None:
        return None
    if not _compiles(rf"\p{{{known}}}"):
        if known.startswith("sc"):  # the engine knows every script, so this is none
            return None
        raise LookupError(name)
    return rf"\{'P' if negated else 'p'}{{{known}}}"


def _known(name: str) -> str | None:
    if name in _BINARY:
        return name
    if name in _CATEGORIES:
        return f"gc={name}"
    both = _BOTH.fullmatch(name)
    prefix = _PREFIXES.get(both[1]) if both else None
    if both is None or prefix is None:
        return None
    fits = both[2] in _CATEGORIES if prefix == "gc" else _SCRIPT.fullmatch(both[2])
    return f"{prefix}={both[2]}" if fits else None


@lru_cache(maxsize=512)
def _compiles(item: str) -> bool:
    try:
        regex.compile(item, regex.V0)
    except regex.error:
        return False
    return True
