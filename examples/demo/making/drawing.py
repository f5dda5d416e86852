"""A picture of 192 by 144 pixels on which smooth-edged shapes are painted."""

import numpy as np

WIDTH, HEIGHT = 192, 144


class Picture:
    """Float RGB, 0 to 1, shape (HEIGHT, WIDTH, 3). Coordinates are pixels, y downwards."""

    def __init__(self):
        self.rgb = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        self.x, self.y = x, y

    def paint(self, distance, colour, alpha=1.0, where=np.s_[:, :]):
        """Colours every pixel whose signed distance to the shape is negative."""
        cover = (np.clip(0.5 - distance, 0, 1) * alpha)[..., None]
        self.rgb[where] += cover * (np.asarray(colour, np.float32) - self.rgb[where])

    def _near(self, left, top, right, bottom):
        return np.s_[
            max(0, int(top) - 2) : max(0, min(HEIGHT, int(bottom) + 3)),
            max(0, int(left) - 2) : max(0, min(WIDTH, int(right) + 3)),
        ]

    def gradient(self, top, bottom, y0, y1):
        """A vertical blend of two colours between rows y0 and y1."""
        t = np.clip((self.y - y0) / max(y1 - y0, 1e-6), 0, 1)[..., None]
        inside = (self.y >= y0) & (self.y < y1)
        blend = np.asarray(top) * (1 - t) + np.asarray(bottom) * t
        self.rgb[inside] = blend[inside]

    def ellipse(self, cx, cy, rx, ry, colour, alpha=1.0):
        where = self._near(cx - rx, cy - ry, cx + rx, cy + ry)
        r = np.hypot((self.x[where] - cx) / rx, (self.y[where] - cy) / ry)
        self.paint((r - 1) * min(rx, ry), colour, alpha, where)

    def glow(self, cx, cy, radius, colour, alpha=1.0):
        """Light that fades with the distance from a point."""
        r = np.hypot(self.x - cx, self.y - cy) / radius
        light = (np.exp(-r * r) * alpha)[..., None]
        self.rgb += light * (np.asarray(colour, np.float32) - self.rgb) * 0.9

    def polygon(self, points, colour, alpha=1.0):
        """Any simple polygon, from a list of (x, y)."""
        p = np.asarray(points, np.float32)
        where = self._near(*p.min(0), *p.max(0))
        x, y = self.x[where], self.y[where]
        if x.size == 0:
            return
        squared = np.full(x.shape, np.inf, np.float32)
        inside = np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in zip(p, np.roll(p, -1, 0)):
            ex, ey = bx - ax, by - ay
            t = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey + 1e-9), 0, 1)
            squared = np.minimum(squared, (x - ax - t * ex) ** 2 + (y - ay - t * ey) ** 2)
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < ex * (y - ay) / np.where(ey == 0, 1e-9, ey) + ax)
        distance = np.sqrt(squared)
        self.paint(np.where(inside, -distance, distance), colour, alpha, where)

    def line(self, ax, ay, bx, by, thickness, colour, alpha=1.0):
        h = thickness / 2
        where = self._near(min(ax, bx) - h, min(ay, by) - h, max(ax, bx) + h, max(ay, by) + h)
        x, y = self.x[where], self.y[where]
        ex, ey = bx - ax, by - ay
        t = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey + 1e-9), 0, 1)
        self.paint(np.hypot(x - ax - t * ex, y - ay - t * ey) - h, colour, alpha, where)

    def box(self, x, y, w, h, colour, alpha=1.0):
        self.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], colour, alpha)

    def shade(self, colour, alpha):
        """Mixes one colour into the whole picture."""
        self.rgb += alpha * (np.asarray(colour, np.float32) - self.rgb)

    def bytes(self):
        return (np.clip(self.rgb, 0, 1) * 255 + 0.5).astype(np.uint8).tobytes()
