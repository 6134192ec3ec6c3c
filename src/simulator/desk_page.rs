//! What the simulator's own page shows.
//!
//! What always holds: no script; the log refreshes itself in its frame, so
//! that a form half filled in beside it stays as it is.

use axum::response::Response;

use super::html::{escape, page};
use super::journal::{Calls, Event, Tally};
use super::mood::{Api, Mood, Spell};
use super::pages::face;
use super::visitors::Visitor;
use super::world::World;
use super::{SimAccount, SimKind};

/// The whole page.
pub(super) fn desk(world: &World, spell: &Spell, default: &Visitor) -> Response {
    let accounts: String = world.accounts.iter().map(account).collect();
    let visitors: String = world
        .visitors()
        .iter()
        .map(|visitor| person(visitor, visitor.openid == default.openid))
        .collect();
    let body = format!(
        "<h1>微信模拟器 WeChat simulator</h1>\
         <p>It speaks WeChat's login for people who develop WeChat pages without WeChat: \
         set both of WeChat's hosts to <code>{base}</code>. \
         Open your own page in this browser and choose who is visiting, or send the user agent \
         <code>MicroMessenger</code> to pass as WeChat does.</p>\
         <h2>它做了什么 What it did</h2>\
         <iframe src=\"/simulator/log\" title=\"log\"></iframe>\
         <h2>心情 Mood</h2><div class=\"card\"><p>now: <b>{mood}</b></p>{switches}</div>\
         <h2>访客 Visitors</h2><div class=\"card\"><table>{visitors}</table></div>\
         <h2>时钟 Clock</h2><div class=\"card\">{clock}</div>\
         <h2>账号 Accounts</h2><div class=\"card\"><table>\
         <tr><th>appid</th><th>网页授权域名</th><th></th></tr>{accounts}</table></div>\
         <p class=\"quiet\">For programs: <a href=\"/simulator/calls\">calls</a>, \
         <a href=\"/simulator/events\">events</a>, and POST to <code>/simulator/mood</code>, \
         <code>/simulator/visitor</code>, <code>/simulator/clock</code>.</p>",
        base = escape(&world.base_url),
        mood = escape(&spell.described()),
        switches = switches(spell),
        clock = clock(),
    );
    page("微信模拟器 WeChat simulator", "", &body)
}

/// The frame with the log, newest first, for that is what one looks for.
pub(super) fn log(events: &[Event], calls: &Calls) -> Response {
    let lines: String = events
        .iter()
        .rev()
        .map(|event| {
            let (seconds, ms) = (event.at_ms / 1000, event.at_ms % 1000);
            let (number, text) = (event.number, escape(&event.text));
            format!("<li><small>{number} · {seconds}.{ms:03} s</small> <bdi>{text}</bdi></li>")
        })
        .collect();
    let lines = match lines.as_str() {
        "" => "<li class=\"quiet\">nothing yet 还没有</li>",
        lines => lines,
    };
    let tallies: String = [
        ("authorize", &calls.authorize),
        ("qrconnect", &calls.qrconnect),
        ("choose", &calls.choose),
        ("exchange", &calls.exchange),
        ("refresh", &calls.refresh),
        ("userinfo", &calls.userinfo),
        ("check", &calls.check),
        ("gettoken", &calls.gettoken),
        ("getuserinfo", &calls.getuserinfo),
    ]
    .iter()
    .map(|(name, tally)| counted(name, tally))
    .collect();
    let body = format!("<p class=\"quiet\">{tallies}</p><ol>{lines}</ol>");
    page("log", "<meta http-equiv=\"refresh\" content=\"2\">", &body)
}

fn counted(name: &str, tally: &Tally) -> String {
    let outcomes: Vec<String> = tally
        .outcomes
        .iter()
        .map(|(outcome, times)| format!("{} {times}", escape(outcome)))
        .collect();
    match outcomes.is_empty() {
        true => String::new(),
        false => format!("{name}: {} · ", outcomes.join(", ")),
    }
}

fn account(account: &SimAccount) -> String {
    let hosts = match account.callback_hosts.is_empty() {
        true => "none 未设置".to_owned(),
        false => account.callback_hosts.join(", "),
    };
    let kind = match (&account.kind, account.sandbox) {
        (SimKind::Official, true) => "测试号 sandbox".to_owned(),
        (SimKind::Official, false) => String::new(),
        (SimKind::Website, _) => "网站应用 website".to_owned(),
        (SimKind::WeCom { agent_id }, _) => format!("企业微信 WeCom, agentid {}", escape(agent_id)),
    };
    let userinfo = match account.userinfo_granted {
        true => "snsapi_userinfo granted",
        false => "snsapi_userinfo not granted (10005)",
    };
    format!(
        "<tr><td><code>{}</code></td><td>{}</td><td><small>{kind} {userinfo}, secret set</small></td></tr>",
        escape(&account.app_id),
        escape(&hosts)
    )
}

fn person(visitor: &Visitor, is_default: bool) -> String {
    let choose = match is_default {
        true => "<b>visiting 正在访问</b>".to_owned(),
        false => format!(
            "<form method=\"post\" action=\"/simulator/visitor\">\
             <button class=\"no\" name=\"openid\" value=\"{}\">be them 用此身份</button></form>",
            escape(&visitor.openid)
        ),
    };
    format!(
        "<tr><td>{}</td><td><bdi>{}</bdi><br><small>{}</small></td><td>{choose}</td></tr>",
        face(visitor),
        escape(&visitor.shown()),
        escape(&visitor.openid)
    )
}

fn switches(spell: &Spell) -> String {
    let moods: String = Mood::samples()
        .iter()
        .map(|mood| {
            let selected = match mood.name() == spell.mood.name() {
                true => " selected",
                false => "",
            };
            let (name, explained) = (mood.name(), mood.explained());
            format!("<option value=\"{name}\"{selected}>{name}: {explained}</option>")
        })
        .collect();
    let apis: String = Api::ALL
        .iter()
        .map(|api| format!("<option>{}</option>", api.name()))
        .collect();
    format!(
        "<form method=\"post\" action=\"/simulator/mood\">\
         <select name=\"mood\" aria-label=\"mood\">{moods}</select> \
         <select name=\"api\" aria-label=\"api\"><option value=\"\">all apis</option>{apis}</select> \
         <input name=\"times\" inputmode=\"numeric\" placeholder=\"times (always)\"> \
         <input name=\"ms\" inputmode=\"numeric\" placeholder=\"slow: ms\"> \
         <input name=\"errcode\" inputmode=\"numeric\" placeholder=\"errcode\"> \
         <button>set 设置</button></form>\
         <form method=\"post\" action=\"/simulator/mood\">\
         <button class=\"no\" name=\"mood\" value=\"normal\">back to normal 恢复正常</button></form>"
    )
}

fn clock() -> String {
    let later: String = [
        (300, "5 min: codes expire"),
        (7200, "2 h: access tokens expire"),
        (2_592_000, "30 days: refresh tokens expire"),
    ]
    .iter()
    .map(|(seconds, what)| {
        format!("<button class=\"no\" name=\"seconds\" value=\"{seconds}\">+ {what}</button>")
    })
    .collect();
    format!("<form method=\"post\" action=\"/simulator/clock\">{later}</form>")
}
