//! `/status` for people: English, and Chinese beside it where that is short.
//!
//! Holds always: the page is one file without script, which loads nothing from
//! anywhere and asks again by itself; every text that is not the program's own is
//! escaped where it is put in; nobody keeps it.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::chart::Bars;
use super::figures::{moment, number, stretch};
use super::status::{Counted, Status};
use super::tables::{apps, causes, one_account, routes, surroundings};
use crate::html::escape;

/// How often the page asks again, in seconds.
const REFRESH: u32 = 10;

const STYLE: &str = ":root{--bg:#f4f5f7;--card:#fff;--ink:#1d2129;--soft:#5f6875;--line:#e3e6ea;--a:#2e7d5b;--b:#d9480f;--c:#2563c9;--warn:#fff4e0;--warnline:#f0b557}\
@media(prefers-color-scheme:dark){:root{--bg:#101317;--card:#191d23;--ink:#e6e9ee;--soft:#98a2b0;--line:#2b313a;--a:#4cb888;--b:#ff7a45;--c:#6ea0ff;--warn:#2d2414;--warnline:#8a6420}}\
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'PingFang SC','Microsoft YaHei',sans-serif}\
main{max-width:1120px;margin:auto;padding:20px 16px 48px}header{display:flex;flex-wrap:wrap;gap:4px 14px;align-items:baseline;margin-bottom:14px}\
h1{font-size:22px;margin:0}h2{font-size:16px;margin:0 0 10px}h2 i,th i,.tile i,h3 i,dt i{font-style:normal;font-weight:400;color:var(--soft);font-size:.88em}h3{font-size:14px;margin:16px 0 6px}\
.pill{border-radius:99px;padding:1px 10px;font-size:13px;background:var(--a);color:var(--card)}.pill.bad{background:var(--b)}\
.soft,footer{color:var(--soft);font-size:13px}header .soft:last-child{margin-left:auto}a{color:var(--c)}\
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px;margin-bottom:14px;min-width:0}\
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:0 14px;align-items:start}\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:10px;margin-bottom:14px}\
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}.tile b{display:block;font-size:22px;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}\
.warn{background:var(--warn);border-color:var(--warnline)}.warn ul{margin:0;padding-left:1.2em}.warn li{overflow-wrap:anywhere}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}th{text-align:left;font-weight:600;font-size:13px;color:var(--soft);white-space:nowrap}\
td,th{padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.n:last-child,th.n:last-child{padding-right:0}\
td code{white-space:nowrap}code{font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}.bad{color:var(--b)}.pill.bad{color:var(--card)}td.bar{width:34%}\
.chart{display:block;width:100%;height:auto}.chart text{fill:var(--soft);font-size:11px}.grid{stroke:var(--line)}.a{fill:var(--a)}.b{fill:var(--b)}.c{fill:var(--c)}.rest{fill:var(--line)}.share{width:100%;height:6px;border-radius:3px;display:block;margin-top:8px}\
.key{font-size:13px;color:var(--soft);margin:0 0 6px}.key svg{width:10px;height:10px;margin:0 4px 0 10px}.key svg:first-child{margin-left:0}\
dl{display:grid;grid-template-columns:auto 1fr;gap:3px 14px;margin:0;font-size:14px}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
@media(max-width:560px){.tile b{font-size:19px}section{padding:12px}.chart text{font-size:16px}td.bar{display:none}}";

/// What a browser may do with the page: show it.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// The whole page. A page that does not ask again can be read at leisure.
pub(super) fn html(status: &Status, paused: bool) -> String {
    let mut html = String::with_capacity(32 * 1024);
    html.push_str(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><meta name=\"color-scheme\" content=\"light dark\">",
    );
    if !paused {
        let _ = write!(html, "<meta http-equiv=\"refresh\" content=\"{REFRESH}\">");
    }
    let _ = write!(
        html,
        "<title>wxgate status 状态</title><style>{STYLE}</style></head><body><main>"
    );
    head(&mut html, status, paused);
    attention(&mut html, status);
    tiles(&mut html, status);
    html.push_str("<div class=\"two\">");
    charts(&mut html, status);
    html.push_str("</div>");
    routes(&mut html, status);
    for account in &status.accounts {
        one_account(&mut html, account, status.now);
    }
    apps(&mut html, &status.apps);
    html.push_str("<div class=\"two\">");
    if !status.refusals.is_empty() {
        html.push_str("<section><h2>Refused requests <i>拒绝的请求</i></h2>");
        causes(&mut html, &status.refusals, "b");
        html.push_str("</section>");
    }
    surroundings(&mut html, status);
    html.push_str("</div>");
    let _ = writeln!(
        html,
        "<footer>Counted since the start; median and 95 % from histograms. 自启动以来 · {} · \
         <a href=\"status.json\">status.json</a> · <a href=\"metrics\">metrics</a></footer></main></body></html>",
        moment(status.now)
    );
    html
}

fn head(html: &mut String, status: &Status, paused: bool) {
    let (class, word) = match (status.draining, &status.store.trouble) {
        (true, _) => ("pill bad", "draining 排空中"),
        (false, Some(_)) => ("pill bad", "store down 存储故障"),
        (false, None) => ("pill", "serving 运行中"),
    };
    let (link, text) = match paused {
        true => ("status".to_owned(), "paused; go on 继续刷新".to_owned()),
        false => (
            "status?paused=1".to_owned(),
            format!("every {REFRESH} s; pause 暂停刷新"),
        ),
    };
    let _ = write!(
        html,
        "<header><h1>wxgate</h1><span class=\"{class}\">{word}</span>\
         <span class=\"soft\">{} · up 已运行 {}</span><span class=\"soft\"><a href=\"{link}\">{text}</a></span></header>",
        status.version,
        stretch(status.uptime_seconds)
    );
}

fn attention(html: &mut String, status: &Status) {
    if status.attention.is_empty() {
        return;
    }
    html.push_str("<section class=\"warn\"><h2>To look at <i>需要注意</i></h2><ul>");
    for line in &status.attention {
        let _ = write!(html, "<li>{}</li>", escape(line));
    }
    html.push_str("</ul></section>");
}

fn tiles(html: &mut String, status: &Status) {
    let totals = &status.totals;
    html.push_str("<div class=\"tiles\">");
    for (name, value) in [
        ("Requests <i>请求</i>", number(totals.requests)),
        ("Errors 5xx <i>错误</i>", number(totals.errors)),
        ("Logins <i>登录成功</i>", number(totals.logins_ok)),
        (
            "Failed logins <i>登录失败</i>",
            number(totals.logins_failed),
        ),
        (
            "On their way <i>处理中</i>",
            number(status.in_flight as u64),
        ),
        (
            "Connections <i>连接</i>",
            number(status.connections.open as u64),
        ),
    ] {
        let _ = write!(
            html,
            "<div class=\"tile\"><b>{value}</b><span>{name}</span></div>"
        );
    }
    html.push_str("</div>");
}

fn charts(html: &mut String, status: &Status) {
    let requests = |counted: &Counted| {
        [
            counted.requests.saturating_sub(counted.errors),
            counted.errors,
        ]
    };
    let logins = |counted: &Counted| [counted.logins_ok, counted.logins_failed];
    let hour = ["60 min", "30 min", "now 现在"];
    let day = ["24 h", "12 h", "now 现在"];
    let key = |[a, b]: [&str; 2]| {
        let square = |class| {
            format!(
                "<svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"{class}\" width=\"10\" height=\"10\" rx=\"2\"/></svg>"
            )
        };
        format!("<p class=\"key\">{}{a}{}{b}</p>", square("a"), square("b"))
    };
    for (title, shown, words, counted, minutes, times) in [
        (
            "Requests, last hour <i>近一小时请求</i>",
            &requests as &dyn Fn(&Counted) -> [u64; 2],
            ["answered 正常", "5xx 错误"],
            &status.hour,
            1,
            hour,
        ),
        (
            "Logins, last hour <i>近一小时登录</i>",
            &logins,
            ["logged in 成功", "failed 失败"],
            &status.hour,
            1,
            hour,
        ),
        (
            "Requests, last 24 h <i>近 24 小时请求</i>",
            &requests,
            ["answered 正常", "5xx 错误"],
            &status.day,
            10,
            day,
        ),
        (
            "Logins, last 24 h <i>近 24 小时登录</i>",
            &logins,
            ["logged in 成功", "failed 失败"],
            &status.day,
            10,
            day,
        ),
    ] {
        let bars: Vec<[u64; 2]> = counted.iter().map(shown).collect();
        let chart = Bars {
            title: title.split(" <i>").next().unwrap_or_default(),
            parts: words,
            bars: &bars,
            minutes,
            times,
        };
        let _ = write!(
            html,
            "<section><h2>{title}</h2>{}{}</section>",
            key(words),
            chart.svg()
        );
    }
}
