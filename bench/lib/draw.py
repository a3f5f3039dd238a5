# SPDX-License-Identifier: Apache-2.0
"""What the reports share: numbers, tables in Markdown, and plots in SVG."""
import math


def number(x):
    return f"{x:,.0f}" if x >= 99.5 else f"{x:.1f}" if x >= 0.95 else f"{x:.2f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def head(width, height, title, subtitle):
    return [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="sans-serif" font-size="11">',
            "<!-- SPDX-License-Identifier: Apache-2.0 -->",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            f'<text x="10" y="20" font-size="14" font-weight="bold">{title}</text>',
            f'<text x="10" y="36" fill="#555">{subtitle}</text>']


def decades(values):
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return min(low, high - 1), high


def bars(title, subtitle, panels, arms):
    """Small panels of horizontal bars on one logarithmic scale.

    panels: (title, {arm: (least, median, most), or a word instead}); an arm without either has not been run.
    arms: {arm: (name, colour)}, in order.
    """
    low, high = decades([v for _, got in panels for x in got.values() if not isinstance(x, str) for v in x])
    bar, label, plot, gap = 15, 150, 260, 60
    panel_h = bar * len(arms) + 46
    cols = 2 if len(panels) > 1 else 1
    width = cols * (label + plot + gap) + 10

    def x_of(v):
        return (math.log10(v) - low) / (high - low) * plot

    out = head(width, 58 + panel_h * math.ceil(len(panels) / cols), title, subtitle)
    for i, (name, got) in enumerate(panels):
        x0 = (i % cols) * (label + plot + gap) + label
        y0 = 58 + (i // cols) * panel_h
        out.append(f'<text x="{x0}" y="{y0 + 10}" font-weight="bold">{name}</text>')
        bottom = y0 + 18 + bar * len(arms)
        for d in range(low, high + 1):
            x = x0 + x_of(10 ** d)
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y0 + 16}" y2="{bottom}" stroke="#ddd"/>')
            out.append(f'<text x="{x:.1f}" y="{bottom + 12}" text-anchor="middle" fill="#555" font-size="9">'
                       f'{10 ** d:g}</text>')
        for k, (arm, (arm_name, colour)) in enumerate(arms.items()):
            y = y0 + 18 + k * bar
            out.append(f'<text x="{x0 - 6}" y="{y + 10}" text-anchor="end">{arm_name}</text>')
            if isinstance(got.get(arm, "not run"), str):
                out.append(f'<text x="{x0 + 4}" y="{y + 10}" fill="#777">{got.get(arm, "not run")}</text>')
                continue
            least, mid, most = got[arm]
            end = x_of(most)
            out.append(f'<rect x="{x0}" y="{y + 1}" width="{x_of(mid):.1f}" height="{bar - 4}" fill="{colour}"/>')
            out.append(f'<line x1="{x0 + x_of(least):.1f}" x2="{x0 + end:.1f}" y1="{y + 6.5}" y2="{y + 6.5}" '
                       'stroke="#000" stroke-width="1"/>')
            out.append(f'<text x="{x0 + end + 4:.1f}" y="{y + 10}">{number(mid)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def lines(title, subtitle, panels, arms, x_title):
    """Panels of lines, both scales logarithmic. panels: (title, {arm: {x: y}})."""
    xs = sorted({x for _, got in panels for line in got.values() for x in line})
    low, high = decades([y for _, got in panels for line in got.values() for y in line.values()])
    wide, tall, left, gap = 300, 170, 60, 50
    cols = 2 if len(panels) > 1 else 1
    width = cols * (left + wide + gap) + 10
    height = 78 + (tall + 60) * math.ceil(len(panels) / cols)

    def x_of(v):
        return math.log(v / xs[0]) / math.log(xs[-1] / xs[0]) * wide if len(xs) > 1 else wide / 2

    def y_of(v):
        return tall - (math.log10(v) - low) / (high - low) * tall

    out = head(width, height, title, subtitle)
    at = 10
    for arm_name, colour in arms.values():
        out.append(f'<rect x="{at}" y="46" width="10" height="10" fill="{colour}"/>')
        out.append(f'<text x="{at + 14}" y="55">{arm_name}</text>')
        at += 30 + 7 * len(arm_name)
    for i, (name, got) in enumerate(panels):
        x0, y0 = (i % cols) * (left + wide + gap) + left, 88 + (i // cols) * (tall + 60)
        out.append(f'<text x="{x0}" y="{y0 - 6}" font-weight="bold">{name}</text>')
        for d in range(low, high + 1):
            y = y0 + y_of(10 ** d)
            out.append(f'<line x1="{x0}" x2="{x0 + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555" font-size="9">{10 ** d:,}</text>')
        for x in xs:
            out.append(f'<text x="{x0 + x_of(x):.1f}" y="{y0 + tall + 14}" text-anchor="middle" fill="#555" font-size="9">'
                       f'{x}</text>')
        out.append(f'<text x="{x0 + wide / 2:.0f}" y="{y0 + tall + 28}" text-anchor="middle" fill="#555">{x_title}</text>')
        for arm, line in got.items():
            points = " ".join(f"{x0 + x_of(x):.1f},{y0 + y_of(y):.1f}" for x, y in sorted(line.items()))
            out.append(f'<polyline points="{points}" fill="none" stroke="{arms[arm][1]}" stroke-width="2"/>')
            out += [f'<circle cx="{x0 + x_of(x):.1f}" cy="{y0 + y_of(y):.1f}" r="2.5" fill="{arms[arm][1]}"/>'
                    for x, y in line.items()]
    out.append("</svg>")
    return "\n".join(out) + "\n"
