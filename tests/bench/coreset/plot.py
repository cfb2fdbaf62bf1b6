#!/usr/bin/python3
"""Draws docs/coreset-growth.svg from the rows of the part "growth": processor seconds against points and against picks, both axes
logarithmic. Written by hand so that the same rows always give the same bytes.

Usage:  plot.py GROWTH.jsonl OUT.svg
"""

import json
import math
import sys

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 920, 420, 70, 60, 60, 80
PANEL_WIDTH, PANEL_HEIGHT = (WIDTH - 2 * LEFT - GAP) // 2 + 20, HEIGHT - TOP - BOTTOM
COLOURS = {"greedy": "#1965b0", "same": "#4eb265", "greedy-step": "#dc050c"}


def curve(rows, part, how, across):
    return sorted((row[across], row["cpu_seconds"]) for row in rows if row["part"] == part and row["how"] == how)


def decades(values):
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def short(exponent):
    return {0: "1", 1: "10", 2: "100", 3: "1,000", -1: "0.1", -2: "0.01"}.get(exponent, f"10^{exponent}")


class Panel:
    """One pair of axes; place(x, y) in pixels."""

    def __init__(self, left, curves, title, across):
        self.left, self.curves, self.title, self.across = left, curves, title, across
        points = [point for _, _, line, _ in curves for point in line]
        self.x, self.y = decades([x for x, _ in points]), decades([y for _, y in points])

    def place(self, x, y):
        across = (math.log10(x) - self.x[0]) / (self.x[1] - self.x[0])
        up = (math.log10(y) - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + across * PANEL_WIDTH, TOP + (1 - up) * PANEL_HEIGHT

    def draw(self):
        yield f'<text x="{self.left}" y="{TOP - 14}" font-weight="bold">{self.title}</text>'
        for exponent in range(self.x[0], self.x[1] + 1):
            x, _ = self.place(10 ** exponent, 10 ** self.y[0])
            yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{TOP + PANEL_HEIGHT}" stroke="#ddd"/>'
            yield f'<text x="{x:.1f}" y="{TOP + PANEL_HEIGHT + 18}" text-anchor="middle">{short(exponent)}</text>'
        for exponent in range(self.y[0], self.y[1] + 1):
            _, y = self.place(10 ** self.x[0], 10 ** exponent)
            yield f'<line x1="{self.left}" y1="{y:.1f}" x2="{self.left + PANEL_WIDTH}" y2="{y:.1f}" stroke="#ddd"/>'
            yield f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{short(exponent)}</text>'
        yield f'<text x="{self.left + PANEL_WIDTH / 2}" y="{TOP + PANEL_HEIGHT + 40}" text-anchor="middle">{self.across}</text>'
        for number, (name, colour, line, dashed) in enumerate(self.curves):
            places = [self.place(*point) for point in line]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            dashes = ' stroke-dasharray="6 4"' if dashed else ""
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
            yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
            yield f'<text x="{self.left + 10}" y="{TOP + 18 + 16 * number}" fill="{colour}">{name}</text>'


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    step = "textbook loop (50 picks, scaled)"
    panels = (
        Panel(LEFT, [("in rounds, 1 % of the points", COLOURS["greedy"], curve(rows, "growth-n", "greedy", "n"), False),
                     ("in rounds, 2,000 picks", COLOURS["same"], curve(rows, "growth-n-same-k", "greedy", "n"), False),
                     (step + ", 1 %", COLOURS["greedy-step"], curve(rows, "growth-n", "greedy-step", "n"), True)],
              "against points", "points (128 dims)"),
        Panel(LEFT + PANEL_WIDTH + GAP, [("in rounds", COLOURS["greedy"], curve(rows, "growth-k", "greedy", "k"), False),
                                         (step, COLOURS["greedy-step"], curve(rows, "growth-k", "greedy-step", "k"), True)],
              "against picks", "picks of 235,200 points"))
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
             'font-family="sans-serif" font-size="12">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
             f'<text x="{LEFT}" y="22" font-size="15">Exact greedy selection: processor seconds on two cores</text>']
    for panel in panels:
        lines.extend(panel.draw())
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(lines + ["</svg>", ""]))


if __name__ == "__main__":
    main()
