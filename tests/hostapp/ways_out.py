"""Names that lead out of a folder, or might be taken for one: ``{}`` is what they would reach."""

from __future__ import annotations

WAYS_OUT = (
    *r"""
    ../{} ../../{} deep/../../{} ./../{} ./{} ..//{} //{} /{} deep/./{} deep//{} {}/ ..\{} \{}
    deep\..\..\{} C:\{} C:/{} C:{} c:{} \\server\share\{} //server/share/{} \\?\C:\{} \\.\{} {}.
    ..%2f{} %2e%2e/{} %2E%2E%2F{} %252e%252e%252f{} ..%255c{} ..%5c{} ..%c0%af{} %c0%ae%c0%ae/{}
    %00{} %43%3a/{} {}::$DATA {}:stream {}... .{} .ssh/{} .../{} CON/{} NUL/{} aux.{} com1.{}
    LPT9.{} CONIN$/{} prn.tar.{} file:///{} file://localhost/{} nobody://{} ://{} .versions/{}
    shared://shared://{} /etc/{} /proc/self/{}
    """.split(),
    *"\uff0e\uff0e/{} ..\uff0f{} ..\uff3c{} ..\ufe68{} \u2025/{} \u2024\u2024/{}".split(),
    *"\uff05\uff12\uff45./{} \u2100/{} COM\u00b9.{} \uff23\uff2f\uff2e.{} \ud800{}".split(),
    *("{}\0", "{}\0.png", "\0{}", "a\nb/{}", "a\x85b/{}", "{} ", "{}\u00a0", "con .{}"),
    *("a" * 256 + "/{}", "\u00e9" * 128 + "/{}", "a/" * 600 + "{}", "a" * 100_000 + "{}"),
    "%" + "25" * 20 + "2e/{}",
)
