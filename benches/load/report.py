"""Makes tables, and if wanted a chart, of what `benches/load/run` found.

    report.py ROUNDS ABOUT [CHART]
    report.py --rate ROUNDS

ROUNDS has a line for each round of each row, with tabs between: its part, its
row, and what was measured. A figure is the median of the rounds, and a ratio the
median of the rounds' own ratios, for a machine that is busy for a while is so for
rows that stand side by side. `--rate` tells half of what the slower of Pingora and
wxgate can do: the rate at which times are measured.
"""

import statistics
import sys
from xml.sax.saxutils import escape

WXGATE = "wxgate, with a session"
# Part, what it is, what is counted.
PARTS = [
    ("small", "Small answers, connections that stay open", "request"),
    ("large", "Answers of 64 KiB", "request"),
    ("new", "A connection for each request", "request"),
    ("socket", "WebSocket, there and back", "message"),
    ("visit", "The first visit: sent to log in", "request"),
    ("login", "Logins from end to end, WeChat answers in 100 ms", "login"),
    ("tls", "TLS, small answers, connections that stay open", "request"),
    ("tls-new", "TLS, a connection for each request", "request"),
]
# Whom ratios are told to, where they are in the part.
BASES = ["nginx", "Pingora"]


def read(file):
    """Part → row → rounds, each a list of numbers."""
    found = {}
    with open(file) as lines:
        for line in lines:
            part, row, *figures = line.rstrip("\n").split("\t")
            figures = [float(figure) for figure in figures if figure]
            found.setdefault(part, {}).setdefault(row, []).append(figures)
    return found


def median(rounds, at):
    return statistics.median(figures[at] for figures in rounds)


def ratio(rounds, base, at=0):
    return statistics.median(ours[at] / theirs[at] for ours, theirs in zip(rounds, base, strict=True))


def rate(found):
    return min(median(found["small"][row], 1) for row in ("Pingora", WXGATE)) / 2


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def part(name, unit, rows):
    bases = [base for base in BASES if base in rows] or [WXGATE]
    head = ["", f"CPU µs a {unit}", "least, most", *(f"× {base}" for base in bases), f"{unit}s/s"]
    if name == "login":
        head += ["p50 ms", "p99 ms"]
    lines = []
    for row, rounds in rows.items():
        cpu = [figures[0] for figures in rounds]
        line = [row, f"{statistics.median(cpu):.1f}", f"{min(cpu):.1f}, {max(cpu):.1f}"]
        line += [f"{ratio(rounds, rows[base]):.2f}" for base in bases]
        line += [f"{median(rounds, at):.0f}" for at in range(1, len(rounds[0]))]
        lines.append(line)
    return table(head, lines)


def pace(found):
    rows = found["pace"]
    asked = rows[WXGATE][0][0]
    lines = []
    for row, rounds in rows.items():
        line = [row, f"{median(rounds, 1):.0f}", f"{median(rounds, 2):.0f}"]
        line += [f"{ratio(rounds, rows['Pingora'], at):.2f}" for at in (1, 2)]
        # Who cannot answer so many has a queue, and its length is what was measured.
        line.append("" if median(found["small"][row], 1) > asked else "falls behind")
        lines.append(line)
    head = ["", "p50 µs", "p99 µs", "p50 × Pingora", "p99 × Pingora", ""]
    return f"{asked:.0f} requests a second\n\n{table(head, lines)}"


def beside_nginx(found):
    return [name for name, _, _ in PARTS if "nginx" in found.get(name, {})]


def overview(found):
    """CPU time as multiples of nginx's, a line for each row."""
    parts = beside_nginx(found)
    titles = {name: title for name, title, _ in PARTS}
    rows = dict.fromkeys(row for name in parts for row in found[name])
    lines = []
    for row in rows:
        line = [row]
        for name in parts:
            here = found[name]
            line.append(f"{ratio(here[row], here['nginx']):.2f}" if row in here else "")
        lines.append(line)
    return table(["CPU × nginx", *(titles[name] for name in parts)], lines)


def text(found, about):
    pieces = [about]
    if beside_nginx(found):
        pieces.append(overview(found))
    for name, title, unit in PARTS:
        if name not in found:
            continue
        pieces += [f"**{title}**", part(name, unit, found[name])]
        if name == "small" and "pace" in found:
            pieces += ["**How long small answers take at a fixed rate**", pace(found)]
    memory = [[row, f"{median(rounds, 0) / 1024:.1f}"] for row, rounds in found["memory"].items()]
    pieces += ["**Memory of all processes at the end**", table(["", "MiB"], memory)]
    return "\n\n".join(pieces)


COLOURS = {
    "nginx": "#8c959f",
    "Pingora": "#d4843e",
    WXGATE: "#2f9e5b",
    "wxgate, public": "#7fc79b",
    "nginx with auth_request": "#5b6b7b",
    "Apache, session in a cookie": "#a05bb5",
    "Apache, session cached": "#c99ad6",
}
STYLE = """text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.small { font-size: 11px; fill: #57606a } .title { font-size: 16px; font-weight: 600 }
.part { font-weight: 600 } .axis { stroke: #8c959f; stroke-width: 1 } .paper { fill: #ffffff }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9da7b1 } .paper { fill: #0d1117 } }"""
LEFT, WIDTH, BAR, GAP = 210, 860, 15, 4


def chart(found, about):
    """Bars of CPU time as multiples of nginx's, for each part in which nginx is."""
    titles = {name: title for name, title, _ in PARTS}
    ratios = []
    for name in beside_nginx(found):
        rows = found[name]
        ratios.append((titles[name], [(row, ratio(rows[row], rows["nginx"])) for row in COLOURS if row in rows]))
    if not ratios:
        raise SystemExit("no chart: nginx is in none of these parts")
    most = max(value for _, bars in ratios for _, value in bars)
    scale = (WIDTH - LEFT - 60) / most
    y = 28
    body = [f'<text class="title" x="16" y="{y}">CPU time, as multiples of nginx as a plain proxy (less is better)</text>']
    for line in about.splitlines():
        y += 17
        body.append(f'<text class="small" x="16" y="{y}">{escape(line)}</text>')
    y += 14
    for title, bars in ratios:
        y += 22
        body.append(f'<text class="part" x="16" y="{y}">{escape(title)}</text>')
        y += 8
        top = y
        for row, value in bars:
            middle = y + BAR - 3
            body.append(f'<text class="small" x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(row)}</text>')
            body.append(
                f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="{BAR}" rx="2" fill="{COLOURS[row]}"/>'
            )
            body.append(f'<text class="small" x="{LEFT + max(value, 1) * scale + 6:.1f}" y="{middle}">{value:.2f} ×</text>')
            y += BAR + GAP
        one = f"{LEFT + scale:.1f}"
        body.append(f'<line class="axis" stroke-dasharray="3 3" x1="{one}" x2="{one}" y1="{top - 2}" y2="{y - GAP + 2}"/>')
    height = y + 14
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
            "<title>CPU time of proxies, as multiples of nginx</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
            *body,
            "</svg>\n",
        ]
    )


def main(arguments):
    if arguments[0] == "--rate":
        print(f"{rate(read(arguments[1])):.0f}")
        return
    rounds, about, *charts = arguments
    found = read(rounds)
    with open(about) as lines:
        about = lines.read().strip()
    print(text(found, "  \n".join(about.splitlines())))
    for file in charts:
        with open(file, "w") as out:
            out.write(chart(found, about))


main(sys.argv[1:])
