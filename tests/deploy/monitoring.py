"""Alerts, dashboard and runbook: promtool's word on the first, and that all three
speak of what there is: metrics and labels that the gateway has, pages and reasons
that stand in the source.

    monitoring.py WXGATE
"""

import json
import pathlib
import re
import sys
import tempfile

import yaml

from shipped import DEPLOY, HERE, ROOT, expect, operated, run

from served import ask

# What Prometheus adds to each series.
EVERYWHERE = {"instance", "job"}
SUFFIXES = ("_bucket", "_sum", "_count")
SEVERITIES = {"page", "ticket"}
# Values of labels that the runbook explains.
VALUES = {"full_for_address", "no_peer", "refused_forged"}


def listed():
    lines = [line.split() for line in (HERE / "metrics.txt").read_text().splitlines() if not line.startswith("#")]
    return {name: (kind, set(labels)) for name, kind, *labels in lines}


def told(wxgate, dir):
    """The metrics of a running gateway: their kinds, and the labels of their series."""
    gateway, admin = operated(wxgate, dir)
    answer = ask(f"http://127.0.0.1:{admin}/metrics")
    expect(gateway.stop() == 0, "the gateway did not end well")
    expect(answer.status == 200, f"/metrics: {answer.status}")
    # OpenMetrics names a counter's family without its end.
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", answer.text, re.M)
    kinds = {name.removesuffix("_total") + "_total" if kind == "counter" else name: kind for name, kind in kinds}
    labels = {
        name: set(re.findall(r'(\w+)="', inside)) - {"le"}
        for name, inside in re.findall(r"^(\w+)\{(.*)\} ", answer.text, re.M)
    }
    return kinds, labels


def check_list(metrics, wxgate, dir):
    kinds, labels = told(wxgate, dir)
    listed = {name: kind for name, (kind, _) in metrics.items()}
    # Of the process it may tell more than is used here.
    kinds = {name: kind for name, kind in kinds.items() if name in listed or not name.startswith("process_")}
    expect(kinds == listed, f"metrics.txt and the program differ: {sorted(set(kinds.items()) ^ set(listed.items()))}")
    for sample, used in labels.items():
        (name,) = named(sample, metrics)
        expect(used == metrics[name][1], f"{name} has the labels {used}, not {metrics[name][1]}")


def named(text, metrics):
    """The metrics that `text` names; each must exist."""
    found = set()
    for word in re.findall(r"\b(?:wxgate|process)_[a-z_]+", text):
        base = next(
            (word.removesuffix(end) for end in SUFFIXES if word.endswith(end) and word.removesuffix(end) in metrics), word
        )
        expect(base in metrics, f"no metric is called {word}")
        expect(base == word or metrics[base][0] == "histogram", f"{base} is no histogram")
        found.add(base)
    return found


def check_query(query, metrics):
    """Names and labels of a query."""
    bare = re.sub(r'"[^"]*"', '""', query)
    found = named(bare, metrics)
    expect(found or re.match(r"up\{", bare), f"no metric in {query}")
    labels = EVERYWHERE.union({"le"}, *(metrics[name][1] for name in found))
    used = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*""', bare))
    for group in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", bare):
        used |= {word.strip() for word in group.split(",")}
    expect(used <= labels, f"{query}: no label is called {used - labels}")
    return found


def check_alerts(metrics):
    place = DEPLOY / "prometheus"
    run("promtool", "check", "rules", place / "alerts.yml")
    run("promtool", "check", "config", place / "prometheus.yml")
    run("promtool", "test", "rules", place / "alerts_test.yml")
    (group,) = yaml.safe_load((place / "alerts.yml").read_text())["groups"]
    tests = yaml.safe_load((place / "alerts_test.yml").read_text())["tests"]
    for test in tests:
        for series in test["input_series"]:
            check_query(series["series"], metrics)
    cases = [case for test in tests for case in test["alert_rule_test"]]
    source = (ROOT / "src/reply/words.rs").read_text()
    alerts = {}
    for rule in group["rules"]:
        name = rule["alert"]
        expect(name not in alerts, f"{name} stands there twice")
        alerts[name] = check_query(rule["expr"], metrics)
        mine = [case for case in cases if case["alertname"] == name]
        expect(
            any(case["exp_alerts"] for case in mine) and any(not case["exp_alerts"] for case in mine),
            f"{name} is not tested both ways",
        )
        for reasons in re.findall(r'reason=~?"([^"]*)"', rule["expr"]):
            expect(all(f'"{reason}"' in source for reason in reasons.split("|")), f"{name}: no reason is called {reasons}")
        expect(rule["labels"]["severity"] in SEVERITIES, f"{name} wakes nobody")
        expect(rule["annotations"]["runbook"] == f"RUNBOOK.md#{name.lower()}", f"{name} leads elsewhere")
    print(f"alerts: {len(alerts)}, each seen to fire and to keep still")
    return alerts


def check_tests_can_fail(dir):
    """promtool must notice an alert that no longer fires."""
    place = DEPLOY / "prometheus"
    rules = (place / "alerts.yml").read_text()
    changed = rules.replace("wxgate_store_up == 0", "wxgate_store_up == 2")
    expect(changed != rules, "no wxgate_store_up == 0")
    (dir / "alerts.yml").write_text(changed)
    (dir / "alerts_test.yml").write_text((place / "alerts_test.yml").read_text())
    expect(
        "WxgateStoreDown" in run("promtool", "test", "rules", dir / "alerts_test.yml", fails=True),
        "promtool notices nothing",
    )


def check_dashboard(metrics, dir):
    dashboard = json.loads((DEPLOY / "grafana/wxgate.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    expect(len(ids) == len(set(ids)), "two panels of one id")
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    shown = set().union(*(check_query(query, metrics) for query in queries))
    expect(shown == set(metrics), f"not on the dashboard: {set(metrics) - shown}")
    # Prometheus reads each query, with Grafana's words filled in.
    rules = [
        {"record": f"panel:{at}", "expr": query.replace("$__rate_interval", "1m").replace("$instance", ".*")}
        for at, query in enumerate(queries)
    ]
    (dir / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run("promtool", "check", "rules", dir / "panels.yml")
    for panel in panels:
        place = panel["gridPos"]
        expect(place["x"] + place["w"] <= 24 and panel["targets"], f"{panel['title']} does not fit")
    print(f"dashboard: {len(panels)} panels, {len(queries)} queries, every metric is shown")


def troubles():
    """Reason → page and status, as the source has them."""
    source = (ROOT / "src/reply/words.rs").read_text()
    numbers = {
        "OK": 200,
        "BAD_REQUEST": 400,
        "UNAUTHORIZED": 401,
        "FORBIDDEN": 403,
        "NOT_FOUND": 404,
        "METHOD_NOT_ALLOWED": 405,
        "REQUEST_TIMEOUT": 408,
        "PAYLOAD_TOO_LARGE": 413,
        "TOO_MANY_REQUESTS": 429,
        "INTERNAL_SERVER_ERROR": 500,
        "BAD_GATEWAY": 502,
        "SERVICE_UNAVAILABLE": 503,
        "GATEWAY_TIMEOUT": 504,
    }
    pages = {
        name: (title, numbers[status])
        for name, status, title in re.findall(r'Self::(\w+) => \(\s*S::(\w+),\s*\(\s*"([^"]+)"', source)
    }
    reasons = dict(re.findall(r'Self::(\w+) => "(\w+)"', source))
    variants = re.findall(r"^    (\w+),$", source[: source.index("pub(super) struct Words")], re.M)
    expect(set(variants) == set(pages) == set(reasons) and len(variants) > 30, "words.rs is written in another way")
    return {reasons[name]: pages[name] for name in variants}


def anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def check_runbook(metrics, alerts):
    text = (DEPLOY / "RUNBOOK.md").read_text()
    entries = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    expect(set(entries) == set(alerts), f"alerts and entries differ: {set(entries) ^ set(alerts)}")
    for name, entry in entries.items():
        used = alerts[name] or {"up"}
        there = named(entry, metrics) | ({"up"} if "`up`" in entry else set())
        expect(used & there or entry.startswith("The same"), f"{name}: the entry names none of {used}")
    pages = {
        reason: (title, int(status))
        for reason, title, status in re.findall(r"^\| `(\w+)` \| (.+?) \((\d+)\) \|", text, re.M)
    }
    expect(pages == troubles(), f"pages and entries differ: {sorted(set(pages.items()) ^ set(troubles().items()))}")
    # What is named elsewhere exists too: words of the log, links, settings.
    source = "\n".join(file.read_text() for file in (ROOT / "src").rglob("*.rs"))
    reference = (ROOT / "gateway.toml").read_text()
    for word in set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)):
        known = (
            word in metrics or f'"{word}"' in source or re.search(rf"^(?:# )?{word} =", reference, re.M) or word in VALUES
        )
        expect(known, f"`{word}` is neither a metric nor a reason nor a setting")
    for table, key in set(re.findall(r"`(server|limits|session)\.(\w+)`", text)):
        expect(re.search(rf"^(?:# )?{key} =", reference, re.M), f"no setting {table}.{key}")
    anchors = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.M)}
    for link in re.findall(r"\]\(#([^)]+)\)", text):
        expect(link in anchors, f"#{link} leads nowhere")
    print(f"runbook: {len(entries)} alerts and {len(pages)} pages, all there are")


def main():
    wxgate = pathlib.Path(sys.argv[1]).resolve()
    metrics = listed()
    with tempfile.TemporaryDirectory(prefix="wxgate-monitoring-") as name:
        dir = pathlib.Path(name)
        check_list(metrics, wxgate, dir)
        alerts = check_alerts(metrics)
        check_tests_can_fail(dir)
        check_dashboard(metrics, dir)
        check_runbook(metrics, alerts)


if __name__ == "__main__":
    main()
