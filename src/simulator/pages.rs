//! The pages that WeChat shows a visitor, or the simulator in their place.
//!
//! What always holds: they are plain links without scripts, so a program
//! walks through them as a person does.

use std::sync::Arc;

use axum::response::Response;

use super::complaint::Complaint;
use super::hop::{REFUSE, SNAPSHOT};
use super::html::{escape, page};
use super::link::{Door, Scope};
use super::visitors::Visitor;

/// WeChat's error page: 200, Chinese, and here an English line that helps.
pub(super) fn complaint(complaint: Complaint) -> Response {
    let code = complaint
        .code()
        .map_or_else(String::new, |code| format!("错误码 <b>{code}</b>"));
    let body = format!(
        "<div class=\"card\"><h1>Oops! Something went wrong:(</h1>\
         <p>{}</p><p>{code}</p><p lang=\"en\">{}</p></div>\
         <p class=\"quiet\" lang=\"en\">WeChat shows its visitors a page like this one and tells the app nothing.</p>",
        escape(complaint.chinese()),
        escape(complaint.english()),
    );
    page("微信", "", &body)
}

/// Inside WeChat: 允许 or 拒绝.
pub(super) fn consent(visitor: &Visitor, door: Door, query: &str) -> Response {
    let body = format!(
        "<div class=\"card\"><h1>申请获取你的微信头像、昵称</h1>\
         <p lang=\"en\">The account asks for your picture and nickname.</p>\
         <p>{face} {name}</p>\
         <p><a class=\"button\" href=\"{allow}\">允许 Allow</a> \
         <a class=\"button no\" href=\"{refuse}\">拒绝 Refuse</a></p></div>",
        face = face(visitor),
        name = escape(&visitor.shown()),
        allow = choose(door, &visitor.openid, query),
        refuse = choose(door, REFUSE, query),
    );
    page("微信授权", "", &body)
}

/// Outside WeChat: who is visiting? Of a website's login: who scans the code?
pub(super) fn choice(visitors: &[Arc<Visitor>], door: Door, scope: Scope, query: &str) -> Response {
    let real = match door {
        Door::Oauth2 => {
            "Real WeChat would refuse here: outside its app this page is a dead end \
             (请在微信客户端打开链接)."
        }
        Door::Qrconnect => {
            "Real WeChat shows a QR code here (微信登录, 扫码), which one scans with the app and agrees to. \
             Choose who scans it."
        }
    };
    let title = match door {
        Door::Oauth2 => "谁在访问？ Who is visiting?",
        Door::Qrconnect => "微信扫码登录：谁在访问？ Scan to log in: who is visiting?",
    };
    let people: String = visitors
        .iter()
        .map(|visitor| {
            let link = choose(door, &visitor.openid, query);
            person(&link, &face(visitor), &visitor.shown(), &visitor.openid)
        })
        .collect();
    let snapshot = match scope {
        Scope::Userinfo => person(
            &choose(door, SNAPSHOT, query),
            "<span class=\"face\"></span>",
            "快照页 snapshot page",
            "a virtual visitor, as WeChat makes up",
        ),
        _ => String::new(),
    };
    let body = format!(
        "<h1>{title}</h1><p class=\"quiet\" lang=\"en\">{real}</p>\
         <p>scope <code>{scope}</code></p><div class=\"card\">{people}{snapshot}</div>\
         <p><a class=\"button no\" href=\"{refuse}\">拒绝 Refuse</a> \
         <a href=\"/simulator/\">the simulator 模拟器</a></p>",
        scope = scope.name(),
        refuse = choose(door, REFUSE, query),
    );
    page("谁在访问？", "", &body)
}

/// [`super::Mood::DoubleCallback`]: the callback once hidden, and a second
/// later as the page. The second is the time the hidden one has to be sent.
pub(super) fn twice(callback: &str) -> Response {
    let callback = escape(callback);
    let head = format!("<meta http-equiv=\"refresh\" content=\"1;url={callback}\">");
    let body = format!(
        "<iframe hidden src=\"{callback}\"></iframe>\
         <p>正在返回… <a href=\"{callback}\">continue</a></p>"
    );
    page("微信", &head, &body)
}

fn person(link: &str, face: &str, name: &str, note: &str) -> String {
    format!(
        "<a class=\"person\" href=\"{link}\">{face}<span><bdi>{}</bdi><br><small>{}</small></span></a>",
        escape(name),
        escape(note)
    )
}

/// The visitor's picture.
pub(super) fn face(visitor: &Visitor) -> String {
    match visitor.avatar_path() {
        Some(path) => format!("<img class=\"face\" alt=\"\" src=\"{}\">", escape(&path)),
        None => "<span class=\"face\"></span>".to_owned(),
    }
}

/// The link that says `who`, with the authorize link's own query behind it.
fn choose(door: Door, who: &str, query: &str) -> String {
    let link = format!("/simulator/choose/{}/{who}?{query}", door.name());
    escape(&link)
}
