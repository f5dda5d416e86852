"""Draws one moment of the story: the coast above the water, and the sea below it."""

import numpy as np

from .drawing import HEIGHT, WIDTH, Picture

HORIZON = 80
WHITE = (0.96, 0.96, 0.94)
RED = (0.82, 0.16, 0.14)


def at(value, u):
    """The value at the share `u` of its sentence. Pairs move, everything else stays."""
    if isinstance(value, tuple) and len(value) == 2:
        return value[0] + (value[1] - value[0]) * u
    return value


def draw(show, u, t):
    """The picture for a sentence's `show`, at its share u (0 to 1) and clip time t (s)."""
    picture = Picture()
    if "depth" in show:
        underwater(picture, show, u, t)
    else:
        coast(picture, show, u, t)
    return picture


def coast(p, show, u, t):
    get = lambda name, default=0.0: at(show.get(name, default), u)
    # A position is a triple (x, y, size) or longer, each part of which may move.
    place = lambda name: [at(part, u) for part in show[name]]

    top, bottom = map(np.array, show["sky"])
    dusk = get("evening")
    top, bottom = top * (1 - 0.4 * dusk), bottom + dusk * (np.array((0.55, 0.25, 0.50)) - bottom)
    p.gradient(top, bottom, 0, HORIZON)
    stars(p, get("stars"), t)
    if "moon" in show:
        x, y = place("moon")
        p.glow(x, y, 30, (0.5, 0.55, 0.7), 0.5)
        p.ellipse(x, y, 9, 9, (0.95, 0.94, 0.84))
        p.ellipse(x + 4, y - 2, 7.5, 7.5, top * 0.8 + bottom * 0.2)
    if "sun" in show:
        x, y, r = place("sun")
        p.glow(x, y, r * 3.2, (1.0, 0.90, 0.62), 0.8)
        p.ellipse(x, y, r, r, (1.0, 0.94, 0.70))
    if show.get("rainbow"):
        rainbow(p, get("rainbow"))
    clouds(p, get("clouds"), get("dark"), t)
    if show.get("hills"):
        hills(p, 0.45 + 0.55 * float(np.mean(bottom)))
    if show.get("lightning"):
        lightning(p, t)

    far, near = map(np.array, show["sea"])
    p.gradient(far, near, HORIZON, HEIGHT)
    waves(p, near, get("waves", 0.8), t)
    if "village" in show:
        village(p, *place("village"), get("lamps"), 0.25 + 0.75 * float(np.mean(bottom)))
    if "lighthouse" in show:
        lighthouse(p, show["lighthouse"], t)
    if show.get("beach"):
        beach(p, show["beach"], t)
    if show.get("pier"):
        pier(p, get("children"), t)
    if "boat" in show:
        boat(p, *place("boat"), t, get("waves", 0.8), get("sail"), show.get("torn"), show.get("aboard"), get("net") if "net" in show else None)
    if "man" in show:
        x, y, size = place("man")
        person(p, x, y, size, t, (0.12, 0.12, 0.14), walking=True, hat=True)
    if "leap" in show:
        leap(p, get("leap"), t)
    gulls(p, int(show.get("gulls", 0)), t)
    rain(p, get("rain"), t)


def stars(p, amount, t):
    rng = np.random.default_rng(5)
    for i in range(int(40 * amount)):
        x, y = rng.uniform(0, WIDTH), rng.uniform(0, HORIZON - 20)
        p.ellipse(x, y, 0.9, 0.9, (1, 1, 0.9), 0.6 + 0.4 * np.sin(3 * t + i))


def clouds(p, amount, dark, t):
    for i in range(int(round(6 * amount))):
        x = (i * 53 + 3 * t) % (WIDTH + 60) - 30
        y = 16 + (i * 29) % 34
        for dx, dy, r in ((-12, 2, 7), (0, -1, 10), (12, 2, 8)):
            p.ellipse(x + dx, y + dy, r * 1.3, r * 0.75, (0.93, 0.93, 0.95), 0.75)
    for i in range(int(round(14 * dark))):
        x = (i * 41 + 5 * t) % (WIDTH + 60) - 30
        p.ellipse(x, 6 + (i * 17) % 30, 30, 13, (0.16, 0.17, 0.22), 0.8)


def hills(p, light):
    for height, phase, colour in ((22, 0.0, (0.36, 0.52, 0.42)), (13, 1.7, (0.24, 0.46, 0.26))):
        top = HORIZON - height * (0.6 + 0.4 * np.sin(p.x / 27 + phase))
        p.paint(np.where(p.y < HORIZON, top - p.y, 9.0), np.array(colour) * light)


def lightning(p, t):
    strike = t % 1.7
    if strike < 0.28:
        rng = np.random.default_rng(int(t / 1.7))
        x, y = rng.uniform(50, 140), 10.0
        while y < HORIZON:
            nx, ny = x + rng.uniform(-12, 12), y + rng.uniform(8, 16)
            p.line(x, y, nx, ny, 1.8, (1, 1, 0.85))
            x, y = nx, ny
        p.shade((0.92, 0.94, 1.0), 0.75 * (1 - strike / 0.28))


def waves(p, near, size, t):
    for row in range(9):
        y = HORIZON + 4 + row * row * 0.85
        scale = 0.25 + 0.12 * row
        crest = y + size * scale * np.sin(p.x / (5 + 2.2 * row) + t * (1.1 + 0.12 * row) + row * 1.9)
        p.paint(np.abs(p.y - crest) - 0.5 * scale, np.minimum(near * 1.5 + 0.16, 1), 0.55)


def beach(p, amount, t):
    edge = HEIGHT - 40 * amount + 6 * np.sin(p.x / 40) + 1.5 * np.sin(1.2 * t)
    light = 0.35 + 0.65 * float(p.rgb[:HORIZON].mean())
    p.paint(edge - 2 - p.y, np.array(WHITE) * light, 0.7)
    p.paint(edge - p.y, np.array((0.93, 0.82, 0.60)) * light)


def village(p, x, y, size, lamps, light):
    houses = ((-26, 9, RED), (-15, 11, (0.85, 0.70, 0.40)), (12, 10, (0.45, 0.55, 0.70)), (24, 8, (0.75, 0.45, 0.30)))
    box = lambda dx, dy, w, h, c: p.box(x + dx * size, y + dy * size, w * size, h * size, np.array(c) * light)
    for dx, h, colour in houses:
        box(dx - 5, -h, 10, h, colour)
        p.polygon([(x + (dx - 6) * size, y - h * size), (x + dx * size, y - (h + 6) * size), (x + (dx + 6) * size, y - h * size)],
                  np.array((0.40, 0.20, 0.16)) * light)
    box(-7, -12, 14, 12, WHITE)
    box(-2.5, -22, 5, 12, WHITE)
    p.polygon([(x - 3.5 * size, y - 22 * size), (x, y - 34 * size), (x + 3.5 * size, y - 22 * size)], np.array((0.35, 0.38, 0.42)) * light)
    windows = [(dx + side, -h + 3) for dx, h, _ in houses for side in (-3, 1)] + [(-4, -9), (2, -9)]
    for i, (dx, dy) in enumerate(windows):
        lit = i < lamps * len(windows)
        colour = (1.0, 0.85, 0.40) if lit else np.array((0.20, 0.24, 0.30)) * light
        p.box(x + dx * size, y + dy * size, 2 * size, 3 * size, colour)


def lighthouse(p, x, t):
    p.polygon([(x - 34, HORIZON + 8), (x - 20, 66), (x + 30, 58), (WIDTH + 20, 60), (WIDTH + 20, HORIZON + 14)], (0.10, 0.11, 0.13))
    angle = 0.9 * t
    reach = 190 * np.cos(angle)
    spread = 10 + 6 * abs(np.cos(angle))
    p.polygon([(x, 24), (x + reach, 24 - spread), (x + reach, 24 + spread)], (1.0, 0.96, 0.70), 0.55)
    for i in range(5):
        colour = WHITE if i % 2 else RED
        w = 5.5 - 0.4 * (5 - i) * 0.6
        p.box(x - w, 28 + i * 7, 2 * w, 7, np.array(colour) * 0.55)
    p.box(x - 4, 20, 8, 8, (1.0, 0.95, 0.65))
    p.polygon([(x - 5, 20), (x, 14), (x + 5, 20)], (0.4, 0.1, 0.1))
    p.glow(x, 24, 16 + 10 * abs(np.sin(angle)), (1.0, 0.96, 0.75), 0.7)


def pier(p, children, t):
    for i in range(7):
        p.box(84 + 17 * i, 106, 3, 30, (0.16, 0.10, 0.08))
    p.box(80, 102, 120, 5, (0.28, 0.18, 0.12))
    for i, colour in enumerate(((0.75, 0.25, 0.25), (0.25, 0.45, 0.75), (0.80, 0.70, 0.25))):
        person(p, max(children, 84) + 14 * i, 102, 0.75, t + 0.3 * i, colour, walking=True)


def boat(p, x, y, size, tilt, t, swell, sail, torn, aboard, net):
    afloat = y < 110
    y = y + (0.9 * swell * np.sin(1.3 * t) if afloat else 0)
    a = tilt * np.sin(1.5 * t) if afloat else tilt
    c, s = np.cos(a), np.sin(a)
    put = lambda *pts: [(x + size * (c * px - s * py), y + size * (s * px + c * py)) for px, py in pts]
    light = np.clip(0.3 + 0.9 * float(p.rgb[:HORIZON].mean()), 0.3, 1)
    if aboard:
        (hx, hy), (bx, by), (ex, ey) = put((-7, -11), (-7, -3), (-3.5, -14))
        p.line(hx, hy, bx, by, 4 * size, np.array((0.20, 0.26, 0.40)) * light)
        p.ellipse(hx, hy - 2 * size, 2.2 * size, 2.2 * size, np.array((0.90, 0.70, 0.55)) * light)
        p.line(hx - 3 * size, hy - 4 * size, hx + 3 * size, hy - 4 * size, 1.6 * size, (0.08, 0.08, 0.08))
    if sail:
        (mx, my), (nx, ny) = put((2, -2), (2, -30))
        p.line(mx, my, nx, ny, 1.1 * size, np.array((0.35, 0.22, 0.12)) * light)
        yellow = np.array((0.96, 0.82, 0.25)) * light
        up = -4 - 25 * sail
        p.polygon(put((3, -5), (3, up), (17, -6)), yellow)
        if torn:
            p.polygon(put((8, -5), (6, -16), (12, -5)), p.rgb[20:60].mean((0, 1)))
    p.polygon(put((-16, -4), (17, -5), (11, 4), (-11, 4)), np.array(RED) * light)
    p.line(*put((-16, -4))[0], *put((17, -5))[0], 1.3 * size, np.array(WHITE) * light)
    if net is not None:
        for i in range(5):
            (ax, ay), (bx, by) = put((14, -3), (20 + 2 * i, 4 + (10 + 3 * i) * net))
            p.line(ax, ay, bx, by, 0.9, (0.85, 0.85, 0.75))
        for i in range(6):
            (cx, cy), = put((17 + 2.2 * i, 2 + (8 + 2 * (i % 3)) * net))
            p.ellipse(cx, cy, 2.2, 1.8, (0.85, 0.35, 0.20) if i % 2 else (0.20, 0.22, 0.35))


def person(p, x, y, size, t, colour, walking=False, hat=False):
    swing = 3 * size * np.sin(7 * t) if walking else 1
    p.line(x, y - 8 * size, x + swing, y, 1.8 * size, colour)
    p.line(x, y - 8 * size, x - swing, y, 1.8 * size, colour)
    p.line(x, y - 8 * size, x, y - 15 * size, 4 * size, np.minimum(np.array(colour) + 0.12, 1))
    p.ellipse(x, y - 19 * size, 2.6 * size, 2.8 * size, (0.86, 0.68, 0.54))
    if hat:
        p.line(x - 4 * size, y - 21.5 * size, x + 4 * size, y - 21.5 * size, 1.4 * size, (0.06, 0.06, 0.06))
        p.box(x - 2.2 * size, y - 25 * size, 4.4 * size, 3.5 * size, (0.06, 0.06, 0.06))


def leap(p, u, t):
    x, y = 50 + 90 * u, 100 - 62 * np.sin(np.pi * u)
    a = -0.9 + 1.8 * u
    c, s = np.cos(a), np.sin(a)
    put = lambda px, py: (x + c * px - s * py, y + s * px + c * py)
    p.polygon([put(-20, -7), put(-12, 0), put(-20, 7)], (0.62, 0.68, 0.74))
    p.polygon([put(-14, 0), put(-4, -7), put(8, -6), put(16, 0), put(8, 5), put(-4, 6)], (0.80, 0.84, 0.88))
    p.ellipse(*put(10, -2), 1.3, 1.3, (0.05, 0.05, 0.08))
    if u > 0.8:
        for i in range(10):
            d = (u - 0.8) * 5
            p.ellipse(140 + (i - 4.5) * 5 * d, 104 - 24 * d * (1 - d) * (1 + i % 3), 1.8, 1.8, WHITE, 0.9)


def gulls(p, count, t):
    for i in range(count):
        angle = 0.9 * t + 2.1 * i
        x, y = 96 + (50 + 8 * i) * np.cos(angle), 40 + 16 * np.sin(angle) + 5 * i
        wing = 4 * np.sin(8 * t + i)
        for side in (-1, 1):
            p.line(x, y, x + 9 * side, y - 3 - wing, 2.2, WHITE)
        p.ellipse(x, y, 3.0, 2.0, WHITE)


def rainbow(p, amount):
    colours = ((0.85, 0.2, 0.2), (0.95, 0.55, 0.2), (0.95, 0.9, 0.3), (0.3, 0.75, 0.35), (0.25, 0.45, 0.85), (0.5, 0.3, 0.7))
    r = np.hypot(p.x - 110, p.y - 104)
    reached = np.arctan2(104 - p.y, p.x - 20) < np.pi * amount
    for i, colour in enumerate(colours):
        p.paint(np.where(reached & (p.y < HORIZON), np.abs(r - 88 + 3 * i) - 1.5, 9.0), colour, 0.65)


def rain(p, amount, t):
    rng = np.random.default_rng(11)
    for _ in range(int(70 * amount)):
        x, y, v = rng.uniform(0, WIDTH + 30), rng.uniform(0, HEIGHT), rng.uniform(150, 210)
        y = (y + v * t) % (HEIGHT + 20) - 10
        p.line(x, y, x - 3, y + 10, 0.8, (0.75, 0.80, 0.86), 0.55)
    p.shade((0.5, 0.53, 0.58), 0.12 * amount)


def underwater(p, show, u, t):
    depth = at(show["depth"], u)
    p.gradient(np.array((0.30, 0.72, 0.66)) * (1.1 - 0.8 * depth), np.array((0.03, 0.24, 0.28)) * (1.1 - 0.6 * depth), 0, HEIGHT)
    for i in range(4):
        x = 20 + 50 * i + 10 * np.sin(0.5 * t + i)
        p.polygon([(x, -4), (x + 12, -4), (x + 50, HEIGHT), (x + 14, HEIGHT)], (0.7, 1.0, 0.9), 0.13 * (1 - depth))
    p.paint(HEIGHT - 12 + 4 * np.sin(p.x / 18) - p.y, np.array((0.50, 0.46, 0.30)) * (1.1 - 0.6 * depth))
    if show.get("keel"):
        y = 8 - 60 * depth
        p.polygon([(60, y - 20), (136, y - 20), (120, y + 14), (76, y + 14)], (0.35, 0.08, 0.08))
    for i in range(int(16 * show.get("weeds", 0))):
        x, h = 8 + 12 * i + 5 * np.sin(3.0 * i), 44 + 26 * np.sin(2.2 * i)
        for j in range(5):
            bend = lambda k: x + 5 * np.sin(0.9 * t + 0.6 * k + i) * k / 5
            p.line(bend(j), HEIGHT - 8 - h * j / 5, bend(j + 1), HEIGHT - 8 - h * (j + 1) / 5, 3.4 - 0.4 * j, (0.10, 0.42, 0.20))
    if "school" in show:
        head, y = [at(part, u) for part in show["school"]]
        for i in range(9):
            x, fy = head - 13 * (i % 5) - 6 * (i // 5), y + 17 * (i // 3) - 18 + 4 * np.sin(2 * t + i)
            p.polygon([(x - 11, fy - 4), (x - 5, fy), (x - 11, fy + 4)], (0.90, 0.40, 0.08))
            p.ellipse(x, fy, 7, 4, (0.98, 0.55, 0.12))
            p.ellipse(x + 4, fy - 1, 0.9, 0.9, (0.05, 0.05, 0.05))
    if "jelly" in show:
        x, y = [at(part, u) for part in show["jelly"]]
        pulse = 1 + 0.18 * np.sin(3 * t)
        p.glow(x, y, 30, (0.80, 0.85, 0.95), 0.4)
        for i in range(7):
            for j in range(4):
                sway = lambda k: x - 12 + 4 * i + 3 * np.sin(2 * t + k + i)
                p.line(sway(j), y + 4 + 9 * j, sway(j + 1), y + 13 + 9 * j, 1.3, (0.85, 0.82, 0.95), 0.7)
        p.ellipse(x, y, 18 * pulse, 13 / pulse, (0.90, 0.86, 0.97), 0.85)
    for i in range(8):
        p.ellipse(30 + 19 * i, HEIGHT - (30 * t + 37 * i) % (HEIGHT + 10), 1.5, 1.5, (0.85, 1.0, 0.98), 0.6)
