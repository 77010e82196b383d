"""Draw the portrait of the example character and put her card into the picture.

The card is ``examples/characters/hesper.json``; the picture lands beside it. No fonts, no
randomness: with one version of Pillow the same card gives the same bytes.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from painting import Colour, Painting, bend, box, curve, near, oval, points

CARD = Path(__file__).parent.parent / "examples" / "characters" / "hesper.json"

SKIN, SKIN_SHADE = (236, 184, 148), (176, 108, 86)
HAIR, HAIR_LIGHT = (158, 78, 40), (214, 128, 70)
SCARF, SCARF_DARK = (104, 132, 78), (52, 76, 52)
LINE = (74, 38, 32)
CHALK = (222, 226, 222)
LANTERN = (255, 196, 104)
FRECKLES = (
    "152,297 160,302 151,305 168,297 174,304 193,287 202,285 209,289 "
    "228,303 234,297 242,302 251,304 250,297 240,308 162,308"
)


def paint_room(art: Painting) -> None:
    art.shape(box(0, 0, 400, 600), (40, 36, 52), (86, 54, 42))
    for x in range(0, 400, 50):
        art.stroke(near(x, 0, "0,0 0,600"), 1.2, (34, 28, 38))
    arch = [(28.0, 300.0), *bend("28,150 44,96 88,74 132,96 148,150"), (148.0, 300.0)]
    frame = [(88 + (x - 88) * 1.14, 190 + (y - 190) * 1.08) for x, y in arch]
    art.shape(frame, (74, 48, 38), (52, 34, 30))
    art.shape(arch, (34, 52, 96), (238, 152, 106))
    art.glow(64, 130, 54, (220, 226, 255), 0.5)
    moon = "70,118 59,120 53,130 57,140 68,143 76,138 66,135 63,127"
    art.shape(curve(moon), (250, 244, 224), (240, 226, 206))
    art.shape(box(28, 262, 148, 300), (70, 84, 112), (38, 50, 76))
    for x, width in ((50, 22), (90, 34), (74, 16), (120, 18)):
        art.stroke(near(x, 270 + width / 2, f"0,0 {width},0"), 1.2, (236, 166, 126))
    art.stroke("88,78 88,300", 4, (66, 42, 34))
    art.stroke("28,190 148,190", 4, (66, 42, 34))
    art.shape(box(14, 298, 162, 312), (112, 72, 50), (70, 44, 34))
    art.shape(box(0, 0, 400, 34), (66, 42, 34), (40, 26, 26))
    art.stroke("0,35 400,35", 2, (28, 18, 20))


def paint_shelves(art: Painting) -> None:
    bottles: tuple[tuple[float, float, float, float, Colour], ...] = (
        (272, 250, 18, 48, (58, 98, 84)),
        (296, 250, 22, 36, (150, 74, 52)),
        (322, 250, 16, 56, (86, 74, 120)),
        (348, 250, 24, 40, (186, 132, 62)),
        (376, 250, 18, 52, (54, 92, 112)),
        (306, 356, 24, 44, (96, 112, 66)),
        (336, 356, 18, 58, (162, 86, 58)),
        (366, 356, 26, 42, (70, 86, 118)),
    )
    for board in (250, 356):
        art.shape(box(256, board, 400, board + 10), (126, 82, 54), (74, 46, 36))
    for x, y, width, height, colour in bottles:
        half, neck = width / 2, width / 5
        dark = (colour[0] // 2, colour[1] // 2, colour[2] // 2)
        left = [(-half, 0), (-half, -height * 0.62), (-neck, -height * 0.8), (-neck, -height)]
        right = [(-dx, dy) for dx, dy in reversed(left)]
        body = [(x + dx, y + dy) for dx, dy in left + right]
        art.shape(body, colour, dark)
        art.shape(box(x - neck, y - height - 5, x + neck, y - height), (150, 110, 74))
        gleam = near(x + half - 3.5, y, f"0,{-height * 0.58} 0,-5")
        art.stroke(gleam, 1.6, (236, 206, 160))


def paint_lantern(art: Painting) -> None:
    x, y = 322, 106
    art.stroke(near(x, 34, "0,0 0,38"), 2, (30, 22, 22))
    art.glow(x, y, 300, LANTERN, 0.75)
    art.shape(oval(x, y + 2, 17, 25), (255, 238, 186), (255, 178, 84))
    art.shape(curve(near(x, y, "0,-16 7,6 0,16 -7,6")), (255, 255, 232))
    for dx in (-19, 0, 19):
        bar = bend([(x + dx * 0.55, y - 26), (x + dx, y), (x + dx * 0.7, y + 28)])
        art.stroke(bar, 2, (70, 46, 32))
    art.shape(near(x, y, "-13,-24 -5,-37 5,-37 13,-24"), (96, 66, 42))
    art.shape(box(x - 16, y + 26, x + 16, y + 33), (96, 66, 42), (58, 38, 30))
    art.glow(x, y, 84, (255, 226, 160), 0.75)


def paint_body(art: Painting) -> None:
    shoulders = curve(
        "40,640 48,520 72,452 128,414 172,396 200,402 228,396 272,414 328,452 352,520 360,640"
    )
    art.soft(shoulders, (16, 10, 18), 0.55, 12)
    art.shape(shoulders, (232, 218, 192), (150, 122, 108))
    art.soft(curve("40,640 44,500 84,440 120,640"), (84, 66, 92), 0.6, 14, shoulders)
    art.soft(curve("352,640 346,500 300,432 326,640"), (255, 214, 150), 0.6, 9, shoulders)
    vest = curve(
        "96,640 104,520 128,420 152,406 176,458 200,480 224,458 248,406 272,420 296,520 304,640"
    )
    art.shape(vest, (122, 58, 62), (62, 30, 42))
    art.soft(curve("96,640 110,470 136,416 160,640"), (40, 18, 36), 0.6, 12, vest)
    art.stroke(bend("152,408 176,460 200,484 224,460 248,408"), 3, (196, 142, 78))
    for y in (506, 530):
        art.shape(oval(200, y, 4, 4), (240, 196, 116), (160, 104, 52))
    neck = curve("170,330 168,384 156,410 200,452 244,410 232,384 230,330")
    art.shape(neck, SKIN_SHADE, SKIN)
    art.soft(curve("160,330 166,372 200,388 236,366 240,330"), (128, 66, 58), 0.7, 6, neck)
    for side in (-1, 1):
        collar = near(200, 0, "36,392 58,408 44,452 10,452 30,424", side)
        art.shape(collar, (250, 240, 218), (206, 186, 162))


def paint_hair(art: Painting) -> None:
    art.shape(
        curve(
            "122,236 112,300 114,350 136,384 172,372 200,340 "
            "240,352 266,334 278,290 278,236 200,176"
        ),
        HAIR,
        (84, 38, 28),
    )
    for i in range(7):
        x, y, r = 126 - i * 2.2 + (i % 2) * 5, 356 + i * 22, 17 - i * 0.9
        knot = curve(near(x, y, f"{-r},-4 0,{-r} {r},2 2,{r}"))
        art.soft(knot, (60, 26, 20), 0.5, 3)
        art.shape(knot, HAIR_LIGHT, (118, 56, 32))
        art.stroke(bend(near(x, y, f"{-r * 0.6},-2 0,2 {r * 0.5},8")), 1.4, (98, 46, 28))
    art.shape(curve("104,504 116,500 128,506 120,520 118,536 108,522"), HAIR_LIGHT, HAIR)
    art.stroke("107,504 126,504", 6, SCARF)


HEAD = curve(
    "128,246 131,292 146,334 174,362 200,369 226,362 "
    "254,334 269,292 272,246 256,196 200,176 144,196"
)


def paint_face(art: Painting) -> None:
    for ear in (125, 275):
        art.shape(oval(ear, 286, 11, 19), SKIN, SKIN_SHADE)
    art.shape(HEAD, (244, 196, 158), (226, 162, 128))
    art.soft(
        curve("110,200 112,320 160,372 196,374 158,320 150,220"), (140, 78, 84), 0.55, 14, HEAD
    )
    art.soft(curve("290,200 286,310 250,350 256,290 262,220"), (255, 226, 176), 0.7, 8, HEAD)
    art.soft(box(120, 190, 280, 226), (120, 60, 54), 0.55, 9, HEAD)
    for cheek in (156, 244):
        art.soft(oval(cheek, 306, 20, 14), (222, 98, 84), 0.42, 8, HEAD)
    for x, y in points(FRECKLES):
        art.soft(oval(x, y, 1.1, 1.0), (176, 100, 72), 0.7, 0.4)
    art.soft(curve("192,252 186,296 178,312 200,320 198,290"), (176, 100, 82), 0.6, 4, HEAD)
    art.soft(curve("202,250 206,292 208,306 200,306"), (255, 226, 188), 0.7, 3, HEAD)
    art.stroke(bend("185,306 184,312 190,315"), 1.6, (172, 96, 76))
    art.stroke(bend("216,306 217,312 211,315"), 1.6, (180, 104, 82))
    art.soft(oval(200, 317, 9, 2.2), (150, 78, 66), 0.75, 1.4, HEAD)
    for side in (-1, 1):
        paint_eye(art, 200 + side * 35, 268, side)


def paint_eye(art: Painting, x: float, y: float, side: int) -> None:
    art.soft(oval(x, y - 4, 22, 12), (150, 84, 74), 0.45, 5, HEAD)
    eye = curve(near(x, y, "-17,3 -8,-5 4,-6 17,0 6,7 -8,7", side))
    art.shape(eye, (250, 240, 226), (232, 216, 204))
    art.soft(oval(x + 1, y - 1, 8.5, 8.5), (86, 108, 62), 1, 0.3, eye)
    art.soft(oval(x + 1, y - 1, 4.2, 4.2), (26, 18, 18), 1, 0.3, eye)
    art.shape(oval(x + 4, y - 4, 2.3, 2.3), (255, 250, 230))
    art.stroke(bend(near(x, y, "-17,3 -8,-5 4,-6.5 18,-1 21,-4", side)), 2.8, LINE)
    art.stroke(bend(near(x, y, "-10,8 0,9 12,5", side)), 1, (160, 88, 72))
    art.stroke(bend(near(x, y, "-14,-10 0,-14 16,-8", side)), 1.2, (176, 104, 84))
    brow = near(x, y, "-20,-20 -4,-29 14,-28 25,-17 12,-23 -4,-24", side)
    art.shape(curve(brow), (132, 66, 38))
    for dy in (0, 5):
        art.stroke(near(x, y + dy, f"24,2 30,{3 + dy}", side), 0.9, (190, 120, 94))


def paint_mouth(art: Painting) -> None:
    art.shape(
        curve("170,332 188,331 200,333 212,331 231,329 215,343 200,346 185,343"),
        (186, 84, 76),
        (206, 108, 94),
    )
    art.stroke(bend("165,329 182,335 201,338 220,334 236,326"), 2, (120, 48, 48))
    art.soft(oval(204, 342, 10, 1.8), (246, 176, 156), 0.8, 1)
    art.soft(oval(202, 354, 16, 3), (176, 100, 82), 0.5, 3, HEAD)
    art.stroke(bend("238,318 243,328 240,337"), 1.2, (196, 122, 98))
    art.stroke(bend("161,324 158,332 161,339"), 1, (176, 104, 88))


def paint_scarf(art: Painting) -> None:
    for side, light in ((-1, HAIR), (1, HAIR_LIGHT)):
        lock = near(200, 0, "8,206 48,208 74,230 75,290 66,262 52,236 28,222", side)
        art.shape(curve(lock), light, (112, 52, 30))
    art.stroke(bend("216,213 246,222 262,250"), 1.6, (206, 190, 176))
    art.stroke(bend("182,214 156,224 139,252"), 1.6, (176, 160, 154))
    tails = curve("274,226 300,232 316,262 312,296 300,280 296,304 284,268 270,246")
    art.soft(tails, (20, 14, 18), 0.4, 4)
    art.shape(tails, SCARF, SCARF_DARK)
    scarf = curve(
        "122,240 124,190 150,148 200,132 250,148 276,190 "
        "280,238 262,222 232,206 200,202 166,206 138,222"
    )
    art.shape(scarf, (134, 158, 96), SCARF_DARK)
    art.soft(curve("116,240 118,170 160,134 176,150 148,196"), (30, 46, 52), 0.6, 10, scarf)
    art.soft(curve("232,146 262,164 276,214 256,190"), (240, 220, 140), 0.65, 8, scarf)
    for up in (0, 14, 30):
        fold = near(0, -up, f"140,214 168,190 216,{178 + up * 0.1} 274,214")
        art.stroke(bend(fold), 1.5, (66, 92, 58))
    art.stroke(bend("134,224 166,207 200,203 234,207 268,226"), 3, (206, 176, 96))
    art.shape(oval(277, 232, 10, 12), (150, 172, 104), SCARF_DARK)


def paint_earrings(art: Painting) -> None:
    for x in (122, 279):
        art.stroke(near(x, 302, "0,0 0,10"), 1.4, (226, 178, 92))
        art.shape(near(x, 314, "-5,0 0,-5 5,0"), (214, 160, 80))
        art.shape(curve(near(x, 315, "-5,0 5,0 6,10 -6,10")), (214, 255, 190), (140, 214, 128))
        art.shape(box(x - 5, 325, x + 5, 328), (184, 130, 62))
        art.glow(x, 320, 34, (170, 255, 170), 0.55)


def paint_counter(art: Painting) -> None:
    art.shape(box(0, 540, 400, 600), (150, 96, 58), (72, 42, 32))
    art.stroke("0,541 400,541", 3, (206, 146, 90))
    for y, left, right in ((558, 20, 190), (570, 150, 380), (584, 40, 300), (562, 260, 400)):
        grain = near(left, y, f"0,0 {(right - left) / 2},3 {right - left},-1")
        art.stroke(bend(grain), 1, (98, 58, 40))
    slate = "268,476 368,466 380,548 276,556"
    art.soft(near(3, 5, slate), (20, 10, 12), 0.6, 5)
    art.shape(slate, (170, 112, 66), (110, 68, 44))
    art.shape("276,484 361,475 371,541 283,548", (58, 66, 74), (40, 46, 56))
    for row, marks in enumerate((5, 4, 5)):
        for i in range(min(marks, 4)):
            corner = (290 + row * 26 + i * 5, 494 - row * 2.6)
            art.stroke(near(*corner, "0,0 1.6,16"), 1.3, CHALK)
        if marks == 5:
            art.stroke(near(row * 26, -row * 2.6, "287,506 309,496"), 1.3, CHALK)
    leek = bend("296,534 312,528 328,524 340,516")
    art.stroke(leek, 1.5, (190, 220, 180))
    art.stroke(bend("328,524 340,526 348,522"), 1.3, (190, 220, 180))


def paint_mug(art: Painting) -> None:
    art.soft(oval(64, 562, 48, 8), (24, 12, 12), 0.7, 5)
    art.stroke(bend("30,494 8,500 8,532 32,538"), 8, (128, 92, 70))
    mug = [(30.0, 480.0), *bend("98,480 97,530 90,560")]
    mug += bend("90,560 64,565 38,560")
    art.shape(mug, (190, 142, 104), (112, 74, 58))
    art.soft(box(80, 482, 94, 556), (255, 224, 172), 0.55, 5, mug)
    art.soft(box(24, 480, 44, 566), (70, 40, 44), 0.5, 6, mug)
    for y in (498, 548):
        art.stroke(bend(near(31, y, "0,0 33,5 65,0")), 3, (94, 64, 54))
    art.shape(oval(64, 481, 34, 8), (255, 244, 218), (238, 214, 172))
    for x, y, r in ((46, 474, 11), (66, 470, 13), (84, 475, 10)):
        art.shape(oval(x, y, r, r * 0.8), (255, 248, 228), (244, 224, 188))
    for x, y in ((56, 440), (78, 424)):
        art.soft(curve(near(x, y, "0,24 7,6 -4,-12 3,-30 8,-10 13,6")), (255, 244, 226), 0.2, 5)


def paint() -> Image.Image:
    """Return the finished portrait."""
    art = Painting()
    for step in (paint_room, paint_shelves, paint_lantern, paint_body, paint_hair, paint_face):
        step(art)
    for step in (paint_mouth, paint_scarf, paint_earrings, paint_counter, paint_mug):
        step(art)
    art.glow(322, 106, 420, (255, 170, 90), 0.36)
    return art.finished()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CARD.with_suffix(".png"))
    out: Path = parser.parse_args().out
    card = json.dumps(json.loads(CARD.read_text("utf-8")), ensure_ascii=False)
    text = PngInfo()
    text.add_text("chara", base64.b64encode(card.encode()).decode("ascii"))
    paint().save(out, format="PNG", optimize=True, pnginfo=text)


if __name__ == "__main__":
    main()
