"""One picture with Pillow: read within bounds, scaled down, written as JPEG or PNG.

This module imports Pillow, so it is imported in the thread that needs it. All of it blocks.
"""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ("UnreadablePictureError", "written_anew")

# What cameras, drawing programs and web pages make. No format that runs other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


class UnreadablePictureError(ValueError):
    """The bytes are no picture, or too large a one; the text is the end of a sentence."""


def written_anew(data: bytes, *, max_pixels: int, max_side: int, quality: int) -> tuple[str, bytes]:
    """Return the type and bytes of the same picture: its first frame, upright, nothing else.

    :raises UnreadablePictureError: it is none of the formats, broken, or has too many pixels
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise UnreadablePictureError(
                    f"has {width} x {height} pixels, more than {max_pixels} (images.max_pixels)"
                )
            image.draft("RGB", (max_side, max_side))  # a JPEG is read smaller at once
            return _written(_prepared(image, max_side), quality)
    except UnreadablePictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadablePictureError("has too many pixels (images.max_pixels)") from None
    except UnidentifiedImageError:
        raise UnreadablePictureError(f"is none of {', '.join(FORMATS)}") from None
    except Exception as exc:  # whatever a broken file makes its decoder raise
        raise UnreadablePictureError(f"is broken: {type(exc).__name__}") from None


def _prepared(image: Image.Image, max_side: int) -> Image.Image:
    turned = ImageOps.exif_transpose(image)
    clear = turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info
    plain = turned.convert("RGBA" if clear else "RGB")
    plain.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return plain


def _written(image: Image.Image, quality: int) -> tuple[str, bytes]:
    # A new picture: what was read may carry more than its pixels.
    bare = Image.new(image.mode, image.size)
    bare.paste(image)
    file = BytesIO()
    if bare.mode == "RGBA":
        bare.save(file, "PNG")
        return "image/png", file.getvalue()
    bare.save(file, "JPEG", quality=quality)
    return "image/jpeg", file.getvalue()
