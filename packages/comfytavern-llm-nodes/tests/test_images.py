"""Pictures: what is taken, what is refused, what is sent."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO

import pytest
from PIL import Image, PngImagePlugin

from comfytavern.errors import ResourceError
from comfytavern.testing import MemoryResources
from comfytavern_llm_nodes.images import ImageError, Images
from comfytavern_llm_nodes.settings import ImageLimits

NO_FILES = MemoryResources({})


def picture(
    mode: str = "RGB", size: tuple[int, int] = (40, 20), format_: str = "PNG", **more: object
) -> bytes:
    file = BytesIO()
    colour = {"RGB": (200, 30, 30), "RGBA": (200, 30, 30, 99)}.get(mode, 1)
    Image.new(mode, size, colour).save(file, format_, **more)
    return file.getvalue()


def sent(url: str) -> Image.Image:
    head, _, data = url.partition(";base64,")
    image = Image.open(BytesIO(base64.b64decode(data)))
    assert head == f"data:{Image.MIME[image.format or '']}"
    return image


def data_url(data: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


async def one(value: object, files: Mapping[str, bytes] | None = None, **limits: object) -> str:
    images = Images(ImageLimits.model_validate(limits))
    [url] = await images.data_urls(value, MemoryResources(files or {}))
    return url


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "data URL", "resource"])
async def test_a_picture_in_every_way(kind: str) -> None:
    data = picture()
    values: dict[str, object] = {
        "bytes": data,
        "bytearray": bytearray(data),
        "data URL": data_url(data),
        "resource": "shared://a.png",
    }
    image = sent(await one(values[kind], {"shared://a.png": data}))
    assert (image.format, image.size, image.mode) == ("JPEG", (40, 20), "RGB")


@pytest.mark.parametrize("nothing", [None, "", b"", []])
async def test_no_picture(nothing: object) -> None:
    assert await Images(ImageLimits()).data_urls(nothing, NO_FILES) == []


async def test_several_pictures() -> None:
    urls = await Images(ImageLimits()).data_urls([picture(), data_url(picture())], NO_FILES)
    assert len(urls) == 2


@pytest.mark.parametrize(
    ("data", "format_", "mode"),
    [
        (picture("RGBA"), "PNG", "RGBA"),
        (picture("P", format_="GIF"), "JPEG", "RGB"),
        (picture("P", format_="GIF", transparency=1), "PNG", "RGBA"),
        (picture("L", format_="JPEG"), "JPEG", "RGB"),
        (picture("CMYK", format_="JPEG"), "JPEG", "RGB"),
        (picture("RGB", format_="WEBP"), "JPEG", "RGB"),
        (picture("1", format_="BMP"), "JPEG", "RGB"),
    ],
)
async def test_written_as_jpeg_or_png(data: bytes, format_: str, mode: str) -> None:
    image = sent(await one(data))
    assert (image.format, image.mode) == (format_, mode)


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
async def test_scaled_down(format_: str) -> None:
    image = sent(await one(picture(size=(1600, 400), format_=format_), max_side=160))
    assert image.size == (160, 40)


async def test_nothing_but_the_picture_is_sent() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "where-i-live")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x010E] = "where-i-live"
    for data in (
        picture(pnginfo=info, exif=exif) + b"where-i-live",
        picture(format_="JPEG", exif=exif, comment=b"where-i-live") + b"where-i-live",
    ):
        assert b"where-i-live" in data
        url = await one(data)
        assert sent(url).size == (20, 40)
        assert b"where-i-live" not in base64.b64decode(url.partition(",")[2])


def bomb(width: int, height: int) -> bytes:
    """Return a small file that says it is a huge picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no picture at all", "is none of PNG, JPEG, WEBP, GIF, BMP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is none of PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is none of PNG"),
        (picture()[:60], "is broken"),
        (bomb(6000, 5000), "has 6000 x 5000 pixels, more than 25000000 (images.max_pixels)"),
        (bomb(12_000, 12_000), "pixels"),
        (bomb(60_000, 60_000), "has too many pixels (images.max_pixels)"),
    ],
)
async def test_what_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        await one(data)
    assert str(caught.value).startswith("the picture ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (7, "the picture is a whole number; expected a resource, a data URL or bytes"),
        ("data:text/html;base64,PGI+", "the data URL is no picture"),
        ("data:image/png,raw", "the data URL is no picture"),
        ("data:image/png;base64,???", "is not base64"),
        ("https://example.test/a.png", "the picture is a web address"),
        ("HTTP://169.254.169.254/", "the picture is a web address"),
    ],
)
async def test_values_that_are_none(value: object, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        await one(value)


@pytest.mark.parametrize("kind", ["bytes", "data URL"])
async def test_too_many_bytes(kind: str) -> None:
    data = picture()
    value: object = data if kind == "bytes" else data_url(data)
    with pytest.raises(ImageError, match=r"more than 50 bytes, the limit \(images.max_bytes\)"):
        await one(value, max_bytes=50)
    with pytest.raises(ResourceError, match="more than 50"):
        await one("a.png", {"a.png": data}, max_bytes=50)


async def test_a_resource_that_is_refused() -> None:
    with pytest.raises(ResourceError):
        await one("/etc/passwd")


async def test_addresses_where_the_operator_allows_them() -> None:
    assert await one("https://h/a.png", addresses=True) == "https://h/a.png"


async def test_pictures_in_messages() -> None:
    images = Images(ImageLimits())
    url = data_url(picture())
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    messages: list[dict[str, object]] = [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": [{"type": "text", "text": "this"}, part]},
        {"role": "user", "content": [{"type": "image_url", "image_url": "a.png"}]},
    ]
    ready = await images.in_messages(messages, MemoryResources({"a.png": picture("RGBA")}))
    assert ready[0] is messages[0]
    first = ready[1]["content"][1]["image_url"]  # type: ignore[index]  # of this shape
    assert first["detail"] == "low"
    assert sent(first["url"]).format == "JPEG"
    assert part["image_url"] == {"url": url, "detail": "low"}  # inputs stay as they are
    second = ready[2]["content"][0]["image_url"]  # type: ignore[index]  # of this shape
    assert sent(second["url"]).format == "PNG"


@pytest.mark.parametrize("picture_", [None, {}, {"url": ""}, ["a", "b"]])
async def test_a_part_without_picture(picture_: object) -> None:
    part = {"type": "image_url", "image_url": picture_}
    with pytest.raises((ImageError, ResourceError)):
        await Images(ImageLimits()).in_messages([{"role": "user", "content": [part]}], NO_FILES)
