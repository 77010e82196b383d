"""A small painter on Pillow: smooth shapes, gradients, soft shadows and glows.

Shapes are given in the units of the finished picture, painted three times as large and scaled
down. Where a list of points is wanted, text such as ``"10,20 30,40"`` will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT, SCALE = 400, 600, 3
CURVE_STEPS = 12

Point: TypeAlias = tuple[float, float]
Points: TypeAlias = str | Sequence[Point]
Colour: TypeAlias = tuple[int, int, int]


def points(path: Points) -> list[Point]:
    """Return the points of a path, reading them from text if need be."""
    if not isinstance(path, str):
        return list(path)
    pairs = (pair.split(",") for pair in path.split())
    return [(float(x), float(y)) for x, y in pairs]


def near(x: float, y: float, path: Points, side: int = 1) -> list[Point]:
    """Return a path moved to (x, y), mirrored if ``side`` is -1."""
    return [(x + side * dx, y + dy) for dx, dy in points(path)]


def curve(path: Points) -> list[Point]:
    """Return a closed smooth line through the points (Catmull-Rom)."""
    knots = points(path)
    return _smooth([knots[-1], *knots, knots[0], knots[1]])


def bend(path: Points) -> list[Point]:
    """Return an open smooth line through the points."""
    knots = points(path)
    return [*_smooth([knots[0], *knots, knots[-1]]), knots[-1]]


def _smooth(knots: Sequence[Point]) -> list[Point]:
    path: list[Point] = []
    for a, b, c, d in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        for step in range(CURVE_STEPS):
            t = step / CURVE_STEPS
            path.append((_between(a[0], b[0], c[0], d[0], t), _between(a[1], b[1], c[1], d[1], t)))
    return path


def _between(a: float, b: float, c: float, d: float, t: float) -> float:
    line = c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))
    return b + t * line / 2


def box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Return the corners of a rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def oval(x: float, y: float, rx: float, ry: float) -> list[Point]:
    """Return an ellipse as a smooth line."""
    k = 0.7071
    unit = ((1, 0), (k, k), (0, 1), (-k, k), (-1, 0), (-k, -k), (0, -1), (k, -k))
    return curve([(x + rx * dx, y + ry * dy) for dx, dy in unit])


class Painting:
    """A picture painted shape by shape, from back to front."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE))

    def shape(self, path: Points, top: Colour, bottom: Colour | None = None) -> None:
        """Fill a shape with a colour, or from top to bottom with two."""
        mask = self.mask(path)
        extent = mask.getbbox()
        if extent is None:
            return
        size = (extent[2] - extent[0], extent[3] - extent[1])
        ramp = Image.linear_gradient("L").resize(size)
        paint = Image.composite(
            Image.new("RGB", size, bottom or top), Image.new("RGB", size, top), ramp
        )
        self.image.paste(paint, extent[:2], mask.crop(extent))

    def soft(
        self,
        path: Points,
        colour: Colour,
        strength: float,
        blur: float,
        inside: Points | None = None,
    ) -> None:
        """Lay a blurred colour over the picture, if asked only inside another shape."""
        mask = self.mask(path).filter(ImageFilter.GaussianBlur(blur * SCALE))
        mask = mask.point([round(level * strength) for level in range(256)])
        if inside is not None:
            mask = ImageChops.multiply(mask, self.mask(inside))
        self.image.paste(colour, None, mask)

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Add light that fades with the distance."""
        disc = Image.radial_gradient("L")
        # The corners are the lightest; light must end where the circle touches the sides.
        rim = min(disc.crop((0, 0, 1, disc.height)).tobytes())
        fade = [round(255 * strength * max(0, 1 - level / rim) ** 2) for level in range(256)]
        side = round(2 * radius * SCALE)
        disc = disc.resize((side, side)).point(fade)
        light = Image.new("L", self.image.size)
        light.paste(disc, (round((x - radius) * SCALE), round((y - radius) * SCALE)))
        dark = Image.new("RGB", self.image.size)
        lit = Image.composite(Image.new("RGB", self.image.size, colour), dark, light)
        self.image = ImageChops.screen(self.image, lit)

    def stroke(self, path: Points, width: float, colour: Colour) -> None:
        """Draw a line with round ends."""
        draw = ImageDraw.Draw(self.image)
        spots = [(x * SCALE, y * SCALE) for x, y in points(path)]
        draw.line(spots, fill=colour, width=round(width * SCALE), joint="curve")
        r = width * SCALE / 2
        for x, y in (spots[0], spots[-1]):
            draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def mask(self, path: Points) -> Image.Image:
        """Return the picture's area with the shape in white."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon([(x * SCALE, y * SCALE) for x, y in points(path)], fill=255)
        return mask

    def finished(self) -> Image.Image:
        """Return the picture with darkened corners, at its final size."""
        dark = [255 - level * level // 520 for level in range(256)]
        shade = Image.radial_gradient("L").resize(self.image.size).point(dark)
        shaded = ImageChops.multiply(self.image, shade.convert("RGB"))
        return shaded.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
