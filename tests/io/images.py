#!/usr/bin/python3
"""Test images and reference values for tests/io; needs python3-pil and python3-numpy.

Usage:  images.py make FOLDER           writes good/ (files to be decoded), large/ (files to be decoded smaller),
                                        bad/ (files to be refused), attack/
        images.py brightness FILE...    one line "MEAN DEVIATION STEP PERCENTILE" a file, of Pillow's "L"
        images.py input FILTER < REQUESTS
                                        requests as in tests/golden/pillow_resize.py but "W H C RW RH CW CH SEED": CRC-32 of what
                                        torchvision's Resize, CenterCrop((CH, CW)) make of the image as RGB: Resize(RW, FILTER)
                                        when RH is 0, Resize((RH, RW), FILTER) when it is not, none when both are 0

PNG kinds that Pillow cannot write (interlaced, grey of 2 and 4 bits, tRNS of grey and RGB, 16 bits, eXIf) are written here; JPEG
kinds that it cannot write (YCCK, inks without Adobe's marker, RGB) are made from what it writes by another marker.
"""

import io
import os
import struct
import sys
import zlib

import numpy
from PIL import Image

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def picture(width, height, channels, seed=0):
    """Smooth shapes, an edge and noise: what JPEG treats in different ways."""
    y, x = numpy.mgrid[0:height, 0:width]
    noise = numpy.random.RandomState(seed).randint(0, 40, (height, width, channels))
    waves = numpy.stack([110 + 70 * numpy.sin(x / (5 + 3 * c)) * numpy.cos(y / (9 - 2 * c)) for c in range(channels)], axis=2)
    edge = 60 * (x + 2 * y > width)[:, :, None]
    return numpy.clip(waves + edge + noise - 20, 0, 255).astype(numpy.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_rows(samples, bits):
    """Rows with filter 0: samples [height][width][channels] of `bits` bits each, high bits first."""
    rows = b""
    for row in samples.reshape(samples.shape[0], -1):
        if bits == 16:
            rows += b"\0" + row.astype(">u2").tobytes()
        else:
            ones = numpy.unpackbits(row.astype(numpy.uint8)[:, None], axis=1)[:, 8 - bits:]
            rows += b"\0" + numpy.packbits(ones.reshape(-1)).tobytes()
    return rows


def png(samples, bits, kind, between=b"", interlaced=False, claimed=None, behind=b""):
    """A PNG file. between, behind: chunks before and after the data; claimed: (width, height) that the header lies about."""
    height, width = samples.shape[:2]
    parts = [samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7] if interlaced else [samples]
    rows = b"".join(packed_rows(part, bits) for part in parts if part.size)
    data = zlib.compress(rows)
    half = len(data) // 2
    header = struct.pack(">IIBBBBB", *(claimed or (width, height)), bits, kind, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between + chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:])
            + behind + chunk(b"IEND", b""))


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def make_good_jpeg(folder):
    sizes = ((1, 1), (8, 8), (16, 16), (17, 1), (1, 23), (37, 53), (64, 49), (131, 90))
    for width, height in sizes:
        rgb = Image.fromarray(picture(width, height, 3))
        grey = Image.fromarray(picture(width, height, 1)[:, :, 0])
        for progressive in (False, True):
            tail = f"{width}x{height}{'-progressive' if progressive else ''}.jpg"
            grey.save(f"{folder}/grey-{tail}", quality=80, progressive=progressive)
            for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
                rgb.save(f"{folder}/rgb{name}-{tail}", quality=85, subsampling=subsampling, progressive=progressive)
    rgb.save(f"{folder}/coarse.jpg", quality=5)
    rgb.save(f"{folder}/fine.jpg", quality=100, subsampling=0, optimize=True)


def jpeg(image, **how):
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", **how)
    return buffer.getvalue()


def segment(marker, data):
    return struct.pack(">BBH", 0xff, marker, len(data) + 2) + data


def without(data, marker):
    """The JPEG without its first segment of a marker."""
    at = 2
    while data[at + 1] != marker:
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:]


def adobe(transform):
    return segment(0xee, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform))


def behind_start(data, inserted):
    return data[:2] + inserted + data[2:]


def make_inks(folder, sizes, **how):
    for width, height in sizes:
        for progressive in (False, True):
            inks = Image.fromarray(picture(width, height, 4), "CMYK")
            plain = jpeg(inks, quality=90, progressive=progressive, **how)
            tail = f"{width}x{height}{'-progressive' if progressive else ''}.jpg"
            write(f"{folder}/cmyk-{tail}", plain)
            bare = without(plain, 0xee)
            write(f"{folder}/cmyk-bare-{tail}", bare)
            write(f"{folder}/ycck-{tail}", behind_start(bare, adobe(2)))


def make_good_jpeg_colours(folder):
    make_inks(folder, ((1, 1), (16, 16), (37, 53), (64, 49)))
    levels = numpy.arange(256 * 64, dtype=numpy.uint32) * 2654435761 >> 8  # all four inks at every level
    samples = (levels[:, None] >> numpy.array([0, 5, 9, 13]) & 255).astype(numpy.uint8)
    inks = Image.frombytes("CMYK", (128, 128), samples.tobytes())
    inks.save(f"{folder}/cmyk-levels.jpg", quality=100, subsampling=0)
    rgb = jpeg(Image.fromarray(picture(37, 53, 3)), subsampling=0)
    write(f"{folder}/rgb-stored.jpg", behind_start(without(rgb, 0xe0), adobe(0)))


def exif(orientation, big_endian=False, kind=3, entries_before=2, entries_after=1):
    """A TIFF header and a directory with the orientation as SHORT (3) or LONG (4) among other tags."""
    order = ">" if big_endian else "<"
    def entry(tag, kind, value):
        return struct.pack(order + "HHI", tag, kind, 1) + struct.pack(order + {3: "HH", 4: "I"}[kind], *([value, 0][:5 - kind]))
    entries = [entry(0x0100 + i, 4, 6) for i in range(entries_before)] + [entry(0x0112, kind, orientation)]
    entries += [entry(0x0128, 3, 2) for _ in range(entries_after)]
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)


def make_good_turned(folder):
    jpegs = {"rgb": jpeg(Image.fromarray(picture(37, 53, 3))), "grey": jpeg(Image.fromarray(picture(17, 9, 1)[:, :, 0])),
             "cmyk": jpeg(Image.fromarray(picture(24, 31, 4), "CMYK"))}
    for turn in range(10):  # 0 and 9 are not defined
        big, kind = bool(turn & 1), 3 + (turn >> 1 & 1)
        for name, data in jpegs.items():
            write(f"{folder}/turned{turn}-{name}.jpg", behind_start(data, segment(0xe1, b"Exif\0\0" + exif(turn, big, kind))))
        for name, samples, colour in (("rgb", picture(7, 5, 3), RGB), ("grey", picture(9, 4, 1), GREY),
                                      ("grey-alpha", picture(3, 8, 2), GREY_ALPHA)):
            inside = chunk(b"eXIf", exif(turn, big, kind))
            write(f"{folder}/turned{turn}-{name}.png", png(samples, 8, colour, inside))
            write(f"{folder}/turned{turn}-late-{name}.png", png(samples, 8, colour, behind=inside))
    xmp = segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    two = segment(0xe1, b"Exif\0\0" + exif(6)) + segment(0xe1, b"Exif\0\0" + exif(3))
    write(f"{folder}/turned-first-of-two.jpg", behind_start(jpegs["rgb"], xmp + two))
    no_tag = exif(6).replace(b"\x12\1", b"\x13\1")
    write(f"{folder}/turned-no-tag.jpg", behind_start(jpegs["rgb"], segment(0xe1, b"Exif\0\0" + no_tag)))
    Image.fromarray(picture(12, 7, 3)).save(f"{folder}/turned-by-pillow.png", exif=b"Exif\0\0" + exif(8))


def make_large(folder):
    for width, height in ((640, 480), (333, 517), (1000, 130)):
        rgb, grey = Image.fromarray(picture(width, height, 3)), Image.fromarray(picture(width, height, 1)[:, :, 0])
        for progressive in (False, True):
            tail = f"{width}x{height}{'-progressive' if progressive else ''}.jpg"
            grey.save(f"{folder}/grey-{tail}", progressive=progressive)
            for subsampling in (0, 1, 2):
                rgb.save(f"{folder}/rgb{subsampling}-{tail}", progressive=progressive, subsampling=subsampling)
    make_inks(folder, ((301, 250),), subsampling=0)
    rgb.save(f"{folder}/turned.jpg", exif=b"Exif\0\0" + exif(6))
    rgb.save(f"{folder}/rgb.png")


def make_good_png(folder):
    for width, height in ((1, 1), (7, 5), (37, 53), (9, 2)):
        tail = f"{width}x{height}.png"
        rgba = Image.fromarray(picture(width, height, 4), "RGBA")
        rgb, grey = rgba.convert("RGB"), rgba.getchannel(0)
        for mode, image in (("rgb", rgb), ("rgba", rgba), ("grey", grey), ("bilevel", grey.convert("1")),
                            ("grey-alpha", Image.merge("LA", (grey, rgba.getchannel(3))))):
            image.save(f"{folder}/{mode}-{tail}")
        for colors in (2, 4, 13, 200):
            palette = rgb.quantize(colors)
            palette.save(f"{folder}/palette{colors}-{tail}")
            palette.save(f"{folder}/palette{colors}-clear-{tail}", transparency=1)
        for interlaced in (False, True):
            own = f"{'interlaced-' if interlaced else ''}own-{tail}"
            for bits in (1, 2, 4, 8):
                samples = picture(width, height, 1) >> (8 - bits)
                write(f"{folder}/grey{bits}-{own}", png(samples, bits, GREY, interlaced=interlaced))
                clear = chunk(b"tRNS", struct.pack(">H", int(samples[0, 0, 0])))
                write(f"{folder}/grey{bits}-clear-{own}", png(samples, bits, GREY, clear, interlaced))
                colors = chunk(b"PLTE", picture(2 ** bits, 1, 3, seed=bits).tobytes())
                write(f"{folder}/palette{bits}-{own}", png(samples, bits, PALETTE, colors, interlaced))
            for kind in (RGB, GREY_ALPHA, RGB_ALPHA):
                write(f"{folder}/kind{kind}-{own}", png(picture(width, height, CHANNELS[kind]), 8, kind, b"", interlaced))
            for kind in (GREY, RGB, GREY_ALPHA, RGB_ALPHA):
                deep = numpy.random.RandomState(kind).randint(0, 65536, (height, width, CHANNELS[kind])).astype(numpy.uint16)
                write(f"{folder}/deep{kind}-{own}", png(deep, 16, kind, b"", interlaced))
        clear = chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))
        gamma = chunk(b"gAMA", struct.pack(">I", 30000)) + chunk(b"tEXt", b"Comment\0odd") + chunk(b"bKGD", bytes(6))
        write(f"{folder}/rgb-clear-{tail}", png(picture(width, height, 3), 8, RGB, gamma + clear))


def make_bad(folder):
    rgb = Image.fromarray(picture(32, 24, 3))
    for name in ("a.gif", "a.bmp", "a.tif", "a.webp", "a.jp2"):
        rgb.save(f"{folder}/{name}")
    for name, count in (("two", 2), ("five", 5)):
        frame = struct.pack(">BHHB", 8, 8, 8, count) + b"".join(bytes([c, 0x11, 0]) for c in range(1, count + 1))
        write(f"{folder}/{name}.jpg", b"\xff\xd8" + segment(0xc0, frame) + segment(0xda, b"\1\1\0\0\0\0"))
    write(f"{folder}/colourless.png", png(numpy.arange(12, dtype=numpy.uint8).reshape(3, 4, 1), 8, PALETTE,
                                          chunk(b"PLTE", bytes(range(33)))))
    write(f"{folder}/huge.png", png(picture(5, 4, 1), 8, GREY, claimed=(60000, 60000)))
    write(f"{folder}/bomb.png", png(picture(5, 4, 1), 8, GREY, claimed=(16000, 16000)))
    write(f"{folder}/bomb-deep.png", png(picture(5, 4, 4), 16, RGB_ALPHA, claimed=(16000, 100)))
    endless = chunk(b"eXIf", exif(6)).replace(struct.pack(">I", len(exif(6))), b"\x70\0\0\0", 1)
    write(f"{folder}/endless-exif.png", png(picture(5, 4, 1), 8, GREY, endless))
    write(f"{folder}/wide.png", png(picture(5, 4, 1), 8, GREY, claimed=(2 ** 31 - 1, 2)))
    write(f"{folder}/flat.png", png(picture(5, 4, 1), 8, GREY, claimed=(0, 4)))
    write(f"{folder}/short-data.png", png(picture(5, 4, 1), 8, GREY, claimed=(5, 5)))


def make_attack(folder):
    """Small files for cutting and flipping bytes; and progressive JPEG files of 1 x 1 block that repeat their only scan."""
    Image.fromarray(picture(23, 17, 3)).save(f"{folder}/baseline.jpg", quality=70)
    Image.fromarray(picture(23, 17, 3)).save(f"{folder}/progressive.jpg", quality=70, progressive=True)
    write(f"{folder}/plain.png", png(picture(9, 7, 3), 8, RGB, chunk(b"tEXt", b"Comment\0a text")))
    write(f"{folder}/palette.png", png(picture(9, 7, 1) >> 4, 4, PALETTE, chunk(b"PLTE", bytes(range(48)))))
    quantization = b"\xff\xdb" + struct.pack(">HB", 67, 0) + bytes([1] * 64)
    frame = b"\xff\xc2" + struct.pack(">HBHHBBBB", 11, 8, 8, 8, 1, 1, 0x11, 0)
    one_code = b"\xff\xc4" + struct.pack(">HB", 20, 0) + bytes([1] + [0] * 15) + b"\0"  # code "0": no difference
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 0, 0) + b"\x7f"
    for scans in (3, 5000):
        write(f"{folder}/scans{scans}.jpg", b"\xff\xd8" + quantization + frame + one_code + scan * scans + b"\xff\xd9")


def make(folder):
    good = (make_good_jpeg, make_good_jpeg_colours, make_good_turned, make_good_png)
    for name, maker in (("good", good), ("large", (make_large,)), ("bad", (make_bad,)), ("attack", (make_attack,))):
        os.mkdir(f"{folder}/{name}")
        for part in maker:
            part(f"{folder}/{name}")


def brightness(paths):
    for path in paths:
        grey = numpy.asarray(Image.open(path).convert("RGB").convert("L")).astype(numpy.float64)
        step = numpy.abs(numpy.diff(grey, axis=1)).mean() if grey.shape[1] > 1 else 0.0
        percentile = numpy.sort(grey.reshape(-1))[-(-grey.size // 100) - 1]
        print(f"{grey.mean():.17g} {grey.std():.17g} {step:.17g} {percentile:.17g}")


def fitted(image, resize_width, resize_height, crop_width, crop_height, how):
    width, height = image.size
    if resize_height:
        image = image.resize((resize_width, resize_height), how)
    elif resize_width:
        short, long = (width, height) if width <= height else (height, width)
        new_short, new_long = resize_width, int(resize_width * long / short)
        image = image.resize((new_short, new_long) if width <= height else (new_long, new_short), how)
    top, left = int(round((image.height - crop_height) / 2.0)), int(round((image.width - crop_width) / 2.0))
    return image.crop((left, top, left + crop_width, top + crop_height))


def network_inputs(how, requests):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
    import pillow_resize
    for line in requests:
        width, height, channels, *fit, seed = map(int, line.split())
        raw = pillow_resize.formula_image(width, height, channels, seed)
        image = Image.frombytes("L" if channels == 1 else "RGB", (width, height), raw).convert("RGB")
        print(f"{zlib.crc32(fitted(image, *fit, pillow_resize.FILTERS[how]).tobytes()):08x}")


def main(words):
    if words[:1] == ["make"] and len(words) == 2:
        make(words[1])
    elif words[:1] == ["brightness"]:
        brightness(words[1:])
    elif words[:1] == ["input"] and len(words) == 2:
        network_inputs(words[1], sys.stdin)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
