//! The status page's tables: routes, accounts, apps, and what lies around.
//!
//! Holds always: every text that is not the program's own is escaped where it is
//! put in.

use std::fmt::Write as _;

use super::chart::share;
use super::figures::{bytes, moment, number, stretch, took};
use super::status::{AccountStatus, AppStatus, Cause, Status, Took};
use crate::html::escape;

/// How many causes are listed of each kind.
const CAUSES: usize = 12;

/// A number that is of interest when it is none.
fn bad(count: u64) -> String {
    match count {
        0 => "<td class=\"n\">0</td>".to_owned(),
        count => format!("<td class=\"n bad\">{}</td>", number(count)),
    }
}

fn latency(took_: &Took) -> String {
    format!(
        "<td class=\"n\">{}</td><td class=\"n\">{}</td>",
        took(took_.median),
        took(took_.p95)
    )
}

pub(super) fn routes(html: &mut String, status: &Status) {
    html.push_str(
        "<section><h2>Routes <i>路由</i></h2><div class=\"wide\"><table><tr><th>Route <i>路由</i></th><th>App <i>应用</i></th>\
         <th class=\"n\">Requests <i>请求</i></th><th class=\"n\">4xx</th><th class=\"n\">5xx</th>\
         <th class=\"n\">Median <i>中位</i></th><th class=\"n\">95 %</th></tr>",
    );
    for route in &status.routes {
        let _ = write!(
            html,
            "<tr><td><code>{}</code></td><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td>{}{}</tr>",
            escape(&route.route),
            escape(&route.upstream),
            number(route.requests),
            number(route.refused_4xx),
            bad(route.errors_5xx),
            latency(&route.app)
        );
    }
    html.push_str("</table></div>");
    if status.routes_not_listed > 0 {
        let _ = write!(
            html,
            "<p class=\"soft\">The busiest; {} more. 另有 {0} 条</p>",
            number(status.routes_not_listed as u64)
        );
    }
    html.push_str("</section>");
}

/// A row for each of `all`, with a bar of `class`.
pub(super) fn causes(html: &mut String, all: &[Cause], class: &str) {
    let most = all.iter().map(|cause| cause.count).max().unwrap_or(0);
    html.push_str("<table>");
    for Cause { cause, count } in all.iter().take(CAUSES) {
        let _ = write!(
            html,
            "<tr><td><code>{}</code></td><td class=\"bar\">{}</td><td class=\"n\">{}</td></tr>",
            escape(cause),
            share(*count, most, class),
            number(*count)
        );
    }
    html.push_str("</table>");
    if all.len() > CAUSES {
        let _ = write!(
            html,
            "<p class=\"soft\">{} more 其他</p>",
            all.len() - CAUSES
        );
    }
}

pub(super) fn one_account(html: &mut String, account: &AccountStatus, now: u64) {
    let name = match account.account.as_str() {
        "" => "(not known whose 未知)".to_owned(),
        name => escape(name),
    };
    let circuit = match account.circuit_open {
        true => " <span class=\"pill bad\">quota used up 额度用完</span>",
        false => "",
    };
    let _ = write!(
        html,
        "<section><h2>Account {name} <i>公众号</i>{circuit}</h2><div class=\"two\"><div><h3>Logins <i>登录</i></h3>\
         <dl><dt>started <i>开始</i></dt><dd>{}</dd><dt>ok <i>成功</i></dt><dd>{}</dd>\
         <dt>loops stopped <i>循环终止</i></dt><dd>{}</dd><dt>duplicate callbacks <i>重复回调</i></dt><dd>{}</dd></dl>",
        number(account.started),
        number(account.ok),
        number(account.loops_stopped),
        number(account.callback_duplicates)
    );
    if !account.failed.is_empty() {
        html.push_str("<h3>Failed, by cause <i>失败原因</i></h3>");
        causes(html, &account.failed, "b");
    }
    html.push_str("</div><div>");
    if !account.wechat.is_empty() {
        html.push_str(
            "<h3>WeChat's api <i>微信接口</i></h3><table><tr><th>Call <i>接口</i></th><th class=\"n\">Calls <i>次数</i></th>\
             <th class=\"n\">Median <i>中位</i></th><th class=\"n\">95 %</th></tr>",
        );
        for call in &account.wechat {
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td class=\"n\">{}</td>{}</tr>",
                call.call,
                number(call.took.count),
                latency(&call.took)
            );
        }
        html.push_str("</table>");
    }
    if !account.wechat_errors.is_empty() {
        html.push_str("<h3>WeChat's errors <i>错误码</i></h3><div class=\"wide\"><table>");
        for error in account.wechat_errors.iter().take(CAUSES) {
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td><code>{}</code><br><span class=\"soft\">{} {} ago</span></td><td class=\"n\">{}</td></tr>",
                error.call,
                escape(&error.errcode),
                error
                    .advice
                    .map(|advice| format!("{advice};"))
                    .unwrap_or_default(),
                stretch(now.saturating_sub(error.last)),
                number(error.count)
            );
        }
        html.push_str("</table></div>");
    }
    if !account.sessions.is_empty() {
        html.push_str("<h3>Sessions <i>会话</i></h3>");
        causes(html, &account.sessions, "c");
    }
    html.push_str("</div></div></section>");
}

pub(super) fn apps(html: &mut String, apps: &[AppStatus]) {
    html.push_str(
        "<section><h2>Apps <i>应用</i></h2><div class=\"wide\"><table><tr><th>App <i>应用</i></th><th>Errors <i>错误</i></th>\
         <th class=\"n\">Retries <i>重试</i></th><th class=\"n\">Answers <i>应答</i></th><th class=\"n\">Median <i>中位</i></th><th class=\"n\">95 %</th></tr>",
    );
    for app in apps {
        let errors: Vec<String> = (app.errors.iter())
            .map(|error| format!("{} {}", escape(&error.cause), number(error.count)))
            .collect();
        let errors = match errors.is_empty() {
            true => "none 无".to_owned(),
            false => format!("<span class=\"bad\">{}</span>", errors.join(", ")),
        };
        let _ = write!(html, "<tr><td><code>{}</code>", escape(&app.upstream));
        for peer in &app.peers {
            let state = match peer.up {
                true => "<span class=\"soft\">up 正常</span>",
                false => "<span class=\"bad\">down 不可用</span>",
            };
            let _ = write!(
                html,
                "<br><span class=\"soft\">{}</span> {state}",
                escape(&peer.peer)
            );
        }
        let _ = write!(
            html,
            "</td><td>{errors}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>{}</tr>",
            number(app.retries),
            number(app.took.count),
            latency(&app.took)
        );
    }
    html.push_str("</table></div></section>");
}

pub(super) fn surroundings(html: &mut String, status: &Status) {
    html.push_str("<section><h2>Gateway <i>网关</i></h2><dl>");
    let mut row = |name: &str, value: &str| {
        let _ = write!(html, "<dt>{name}</dt><dd>{value}</dd>");
    };
    let listeners = &status.listeners;
    for (name, all) in [
        ("http <i>监听</i>", &listeners.plain),
        ("https", &listeners.tls),
        ("admin <i>管理</i>", &listeners.admin),
    ] {
        if !all.is_empty() {
            row(name, &escape(&all.join(", ")));
        }
    }
    let store = match &status.store.trouble {
        None => "answers 正常".to_owned(),
        Some(trouble) => format!("<span class=\"bad\">{}</span>", escape(trouble)),
    };
    row("store <i>存储</i>", &store);
    for error in &status.store.errors {
        row(
            "store errors <i>存储错误</i>",
            &format!("{} {}", escape(&error.cause), number(error.count)),
        );
    }
    let connections = &status.connections;
    let refused = connections.refused_full + connections.refused_full_for_address;
    if refused > 0 {
        row(
            "connections refused <i>拒绝连接</i>",
            &format!(
                "{} (all full {}, address full {})",
                number(refused),
                number(connections.refused_full),
                number(connections.refused_full_for_address)
            ),
        );
    }
    for certificate in &status.certificates {
        row(
            "certificate <i>证书</i>",
            &format!(
                "{}: {} ({} days left 剩余天数)",
                escape(&certificate.hosts),
                moment(certificate.expires),
                number(certificate.days_left)
            ),
        );
    }
    let since = status.config.served_since.map(moment).unwrap_or_default();
    let config = match &status.config.mistake {
        None => format!("served since 生效于 {since}"),
        Some(mistake) => format!(
            "<span class=\"bad\">not served as it stands since 未生效 {}</span>; served since 生效于 {since}",
            moment(mistake.at)
        ),
    };
    row("gateway.toml <i>配置</i>", &config);
    let process = &status.process;
    if let Some(resident) = process.resident_bytes {
        row("memory <i>内存</i>", &bytes(resident));
    }
    if let Some(cpu) = process.cpu_seconds {
        row("CPU <i>处理器</i>", &format!("{cpu:.1} s"));
    }
    if let (Some(open), Some(most)) = (process.open_files, process.max_files) {
        row(
            "open files <i>文件</i>",
            &format!("{} / {}", number(open), number(most)),
        );
    }
    html.push_str("</dl></section>");
}
