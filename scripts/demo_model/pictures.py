"""Pictures that the demo model learns to describe: one to three coloured shapes.

They are drawn at the very size that a square picture (or one of 4:3) has after the resize for a
budget of 70 soft tokens, so that no resize is needed.
"""

import math

import numpy as np

from speech import COLOURS, SHAPES

# Width and height in pixels; multiples of 48.
SIZES = [(384, 384), (384, 384), (432, 336), (336, 432)]
PLACES = ["top left", "top", "top right", "left", "center", "right", "bottom left", "bottom",
          "bottom right"]
NUMBERS = ["zero", "one", "two", "three"]
INKS = {
    "red": [(255, 0, 0), (220, 30, 30), (200, 20, 40)],
    "orange": [(255, 165, 0), (255, 140, 0), (240, 130, 30)],
    "yellow": [(255, 255, 0), (255, 220, 0), (240, 230, 60)],
    "green": [(0, 128, 0), (0, 200, 0), (40, 160, 60), (0, 255, 0)],
    "blue": [(0, 0, 255), (30, 60, 220), (20, 90, 240)],
    "purple": [(128, 0, 128), (150, 40, 180), (110, 30, 150)],
    "pink": [(255, 192, 203), (255, 105, 180), (255, 150, 190)],
    "black": [(0, 0, 0), (30, 30, 30)],
}
PAPERS = [(255, 255, 255), (255, 255, 255), (240, 240, 240), (220, 220, 220), (230, 240, 250),
          (245, 240, 225), (200, 205, 210)]


def distance(shape, x, y, radius):
    """Signed distance (negative inside, exact enough at the edge) to a shape around the origin."""
    if shape == "circle":
        return np.hypot(x, y) - radius
    if shape == "square":
        return np.maximum(abs(x), abs(y)) - radius * 0.85
    corners = {"triangle": [(radius, a) for a in (90, 210, 330)],
               "star": [(radius if i % 2 == 0 else radius * 0.42, 90 + 36 * i)
                        for i in range(10)]}[shape]
    points = [(r * math.cos(math.radians(a)), -r * math.sin(math.radians(a))) for r, a in corners]
    nearest, inside = np.full(x.shape, 1e9), np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) /
                        ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - along * (bx - ax),
                                               y - ay - along * (by - ay)))
        if ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < ax + (y - ay) / (by - ay) * (bx - ax))
    return np.where(inside, -nearest, nearest)


def blank_paper(width, height, random_source):
    paper = np.array(random_source.choice(PAPERS)) + random_source.randint(-8, 8)
    pixels = np.empty((height, width, 3), np.float32)
    pixels[:] = np.clip(paper, 0, 255)
    return pixels


def put(pixels, x, y, radius, random_source):
    """Draws some shape, and says which."""
    colour, shape = random_source.choice(COLOURS), random_source.choice(SHAPES)
    height, width, _ = pixels.shape
    turn = math.radians(random_source.uniform(-8, 8))
    left, right = max(0, int(x - radius * 1.3)), min(width, int(x + radius * 1.3) + 2)
    top, bottom = max(0, int(y - radius * 1.3)), min(height, int(y + radius * 1.3) + 2)
    dy, dx = np.mgrid[top:bottom, left:right].astype(np.float32)
    dx, dy = dx + 0.5 - x, dy + 0.5 - y
    dx, dy = (dx * math.cos(turn) + dy * math.sin(turn),
              dy * math.cos(turn) - dx * math.sin(turn))
    cover = np.clip(0.5 - distance(shape, dx, dy, radius), 0, 1).astype(np.float32)[..., None]
    ink = np.array(random_source.choice(INKS[colour])) + [
        random_source.randint(-10, 10) for _ in range(3)]
    region = pixels[top:bottom, left:right]
    region += cover * (np.clip(ink, 0, 255).astype(np.float32) - region)
    return {"colour": colour, "shape": shape, "x": x, "y": y, "radius": radius}


def finished(pixels, random_source):
    """-> uint8; with noise, sometimes."""
    if random_source.random() < 0.2:
        noise = np.random.default_rng(random_source.getrandbits(32))
        level = np.float32(random_source.uniform(1, 6))
        pixels += noise.standard_normal(pixels.shape, np.float32) * level
        np.clip(pixels, 0, 255, pixels)
    return (pixels + 0.5).astype(np.uint8)


def draw(random_source):
    """-> pixels [height,width,3] uint8, and the shapes in reading order.

    A shape is a dict: colour, shape, place (index of PLACES), x, y, radius.
    """
    width, height = random_source.choice(SIZES)
    uniform = random_source.uniform
    pixels = blank_paper(width, height, random_source)
    count = random_source.choice([1, 1, 2, 2, 3, 3])
    cell_x, cell_y = width / 3, height / 3
    shapes = []
    for place in sorted(random_source.sample(range(9), count)):
        room = min(cell_x, cell_y) / 2
        radius = uniform(0.55, 0.95) * room
        jitter = 0.18
        if count == 1 and place == 4 and random_source.random() < 0.6:  # a big one
            radius = uniform(1.0, 2.2) * room
        x = (place % 3 + 0.5 + uniform(-jitter, jitter)) * cell_x
        y = (place // 3 + 0.5 + uniform(-jitter, jitter)) * cell_y
        x = min(max(x, radius), width - radius)
        y = min(max(y, radius), height - radius)
        shapes.append({"place": place, **put(pixels, x, y, radius, random_source)})
    return finished(pixels, random_source), shapes


def draw_detail(random_source):
    """A cut-out of 192 x 192 pixels with one shape: a quarter of a picture's work."""
    pixels = blank_paper(192, 192, random_source)
    radius = random_source.uniform(30, 64)
    x, y = (random_source.uniform(radius * 0.8, 192 - radius * 0.8) for _ in range(2))
    shape = put(pixels, x, y, radius, random_source)
    return finished(pixels, random_source), [shape]


def draw_scene(random_source, left, top):
    """A cut-out of 240 x 240 pixels of a picture, from (left, top)."""
    pixels, shapes = draw(random_source)
    inside = [{**item, "x": item["x"] - left, "y": item["y"] - top} for item in shapes
              if left < item["x"] < left + 240 and top < item["y"] < top + 240]
    return np.ascontiguousarray(pixels[top:top + 240, left:left + 240]), inside


def patches(pixels):
    """[height,width,3] -> [N,768]: 16 x 16 patches, row by row, each (y, x, channel)."""
    height, width, _ = pixels.shape
    grid = pixels.reshape(height // 16, 16, width // 16, 16, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(-1, 768)


def cell_labels(pixels, shapes):
    """What each soft token (48 x 48 pixels) shows: (centre, colour, shape) arrays, 0 for nothing.

    `centre` is 1 + 4 * colour + shape in the one cell where a shape has its centre; the others
    name what covers the middle of a cell.
    """
    rows, columns = pixels.shape[0] // 48, pixels.shape[1] // 48
    centre, colour, kind = (np.zeros((rows, columns), np.int64) for _ in range(3))
    y, x = (np.mgrid[:rows, :columns] + 0.5) * 48
    for item in shapes:
        c, s = COLOURS.index(item["colour"]), SHAPES.index(item["shape"])
        covered = np.hypot(x - item["x"], y - item["y"]) < item["radius"] * 0.9
        colour[covered], kind[covered] = c + 1, s + 1
        row, column = int(item["y"] / 48), int(item["x"] / 48)
        centre[min(row, rows - 1), min(column, columns - 1)] = 1 + 4 * c + s
    return centre.ravel(), colour.ravel(), kind.ravel()


def cell_places(pixels, left, top):
    """Column and row of each soft token in the whole picture."""
    rows, columns = pixels.shape[0] // 48, pixels.shape[1] // 48
    row, column = np.mgrid[:rows, :columns]
    return (column + left // 48).ravel(), (row + top // 48).ravel()


def article(item):
    name = item["colour"] + " " + item["shape"]
    return ("an " if name[0] in "aeiou" else "a ") + name


def listed(parts):
    """"a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def sentence(text):
    return text[0].upper() + text[1:] + "."
