//! `wxgate check`: what was understood of `gateway.toml`, as text.
//!
//! Holds always: nothing is started, asked or written, and no secret is told.

use std::process::ExitCode;

use wxgate::config::Plan;
use wxgate::origin::PublicOrigin;
use wxgate::store::Place;
use wxgate::wechat::Kind;

use super::{ConfigFile, load, say};

pub(super) fn run(file: &ConfigFile) -> ExitCode {
    let plan = match load(file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    say(&understood(file, &plan));
    ExitCode::SUCCESS
}

fn understood(file: &ConfigFile, plan: &Plan) -> String {
    let mut text = format!("{}: no mistakes\n", file.config.display());
    for part in [
        listeners, secured, operators, keys, proofs, store, accounts, routes, facade, warnings,
    ] {
        text.push_str(&part(plan));
    }
    text
}

/// Where visitors are heard.
fn listeners(plan: &Plan) -> String {
    let addresses = plan.server.listen.get_ref().iter();
    let scheme = plan.server.public_scheme.as_str();
    addresses
        .map(|address| {
            let address = address.get();
            format!("listen   {address}, seen by visitors as {scheme}\n")
        })
        .collect()
}

/// Where operators are.
fn operators(plan: &Plan) -> String {
    match plan.server.admin_listen.map(|address| address.get()) {
        Some(address) => format!("admin    {address}: /status, /metrics, /healthz, /readyz\n"),
        None => "admin    none: no health, no metrics, no status page; server.admin_listen has them served\n"
            .to_owned(),
    }
}

/// Who signs sessions.
fn keys(plan: &Plan) -> String {
    match (&plan.keys, plan.state_dir()) {
        (Some(keys), _) => format!(
            "sessions {} key(s) of session.keys; the first signs\n",
            keys.count()
        ),
        (None, dir) => format!(
            "sessions a key kept in {}, made at the first start\n",
            dir.unwrap_or_default().display()
        ),
    }
}

/// Who logs visitors in, and what WeChat's console must say.
fn accounts(plan: &Plan) -> String {
    let mut text = String::new();
    for planned in &plan.accounts {
        let account = &planned.account;
        let origin = account.wechat.callback_origin();
        if let Some(via) = account.via() {
            text.push_str(&format!(
                "account  {}: {}, by way of {} as its client {}{}\n",
                account.name.as_str(),
                account.wechat.app_id().as_str(),
                origin.as_str(),
                via.client.as_str(),
                if planned.sandbox { " (sandbox)" } else { "" },
            ));
            continue;
        }
        let port = origin
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        text.push_str(&format!(
            "account  {}: {}{}, callback {}{}; {}: {}{port}{}{}\n",
            account.name.as_str(),
            match account.wechat.kind() {
                Kind::Official => String::new(),
                Kind::Website => "website ".to_owned(),
                Kind::WeCom(agent) => format!("app {agent} of the corp "),
            },
            account.wechat.app_id().as_str(),
            origin.as_str(),
            wxgate::login::CALLBACK_PATH,
            match account.wechat.kind() {
                Kind::Official => "网页授权域名 in WeChat's console",
                Kind::Website => "授权回调域 in 微信开放平台",
                Kind::WeCom(_) => "可信域名 in WeCom's console",
            },
            origin.host(),
            match account.wechat.kind() {
                Kind::WeCom(_) if account.outsiders => ", members and outsiders",
                Kind::WeCom(_) => ", members alone",
                Kind::Official | Kind::Website => "",
            },
            if planned.sandbox { " (sandbox)" } else { "" },
        ));
        for client in account.clients() {
            let origins = client.origins.iter().map(PublicOrigin::as_str);
            text.push_str(&format!(
                "client   {} of {}: visitors of {}\n",
                client.name.as_str(),
                account.name.as_str(),
                origins.collect::<Vec<_>>().join(", "),
            ));
        }
    }
    text
}

/// Which app is behind which address, and who may go there.
fn routes(plan: &Plan) -> String {
    let mut text = String::new();
    for (at, route) in plan.listed.iter().enumerate() {
        text.push_str(&format!(
            "route {at}  {route} → {}: {}{}{}{}\n",
            route.upstream,
            route.admits(),
            match plan.by_way_of(route).as_slice() {
                [] => String::new(),
                hosts => format!(" by way of {}", hosts.join(" or ")),
            },
            match (&route.pay_account, plan.paying_by_way_of(route)) {
                (Some(pays), Some(host)) =>
                    format!(", paying with {} by way of {host}", pays.name.as_str()),
                (Some(pays), None) => format!(", paying with {}", pays.name.as_str()),
                (None, _) => String::new(),
            },
            if route.assertion { ", with proof" } else { "" }
        ));
        if let Some(how) = route.upstream.described() {
            text.push_str(&format!("         {how}\n"));
        }
    }
    text
}

/// Which apps do OAuth themselves, and where their codes may go.
fn facade(plan: &Plan) -> String {
    let Some(facade) = &plan.facade else {
        return String::new();
    };
    let mut text = format!(
        "facade   {}: answers apps that do WeChat's OAuth themselves\n",
        facade.host
    );
    for app in &facade.apps {
        let origins: Vec<&str> = app.origins.iter().map(|origin| origin.as_str()).collect();
        let callback = app.account.wechat.callback_origin().host();
        let way = match plan.cookies.shared_by(&facade.host, callback) {
            true => String::new(),
            false => format!(" by way of {callback}"),
        };
        text.push_str(&format!(
            "app      {}: {}, login with {}{way}, codes go to {}\n",
            app.name.as_str(),
            app.app_id.as_str(),
            app.account.name.as_str(),
            origins.join(", ")
        ));
    }
    text
}

/// What is no mistake, and may be none of what was wanted.
fn warnings(plan: &Plan) -> String {
    let warnings = plan.warnings().into_iter();
    warnings
        .map(|warning| format!("warning  {warning}\n"))
        .collect()
}

/// Where TLS is spoken, and with which certificates.
fn secured(plan: &Plan) -> String {
    let Some(tls) = &plan.tls else {
        return String::new();
    };
    let (oldest, mut text) = (tls.min_version.as_str(), String::new());
    for address in &tls.listen {
        text.push_str(&format!(
            "tls      {address}, TLS {oldest} and later, HTTP/2 and HTTP/1.1\n"
        ));
    }
    for line in tls.certificates.lines() {
        text.push_str(&format!("cert     {line}\n"));
    }
    if let Some(hsts) = tls.hsts {
        let value = hsts.header();
        text.push_str(&format!(
            "hsts     {}\n",
            value.to_str().unwrap_or_default()
        ));
    }
    if tls.redirect_http {
        text.push_str("http     pages asked for by plain http are sent to https\n");
    }
    text
}

/// Where tokens and ended sessions are kept.
fn store(plan: &Plan) -> String {
    let place = match &plan.store.place {
        Place::Memory => format!(
            "memory; which sessions were ended is kept in {}",
            plan.state_dir().unwrap_or_default().display()
        ),
        Place::File(path) => path.display().to_string(),
        Place::Redis(_) => format!("a Redis, names begin with {{{}}}", plan.store.prefix),
    };
    format!("store    {place}\n")
}

/// Who signs what apps are told of visitors, if any app is.
fn proofs(plan: &Plan) -> String {
    match (&plan.assertions, plan.state_dir()) {
        _ if !plan.asserts() => String::new(),
        (Some(keys), _) => format!(
            "proofs   {} key(s) of assertion.keys; the first signs\n",
            keys.count()
        ),
        (None, dir) => format!(
            "proofs   a key kept in {}, made at the first start\n",
            dir.unwrap_or_default().display()
        ),
    }
}
