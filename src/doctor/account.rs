//! An account as WeChat knows it: AppID, AppSecret, both hosts of the api, the
//! clock; and what stands in WeChat's console, where only a person can look.

use std::time::{Duration, SystemTime};

use super::Report;
use crate::config::{Plan, PlannedAccount};
use crate::route::LoginAccount;
use crate::wechat::api::{Bounds, Probe, reason};
use crate::wechat::{AgentId, Api, ApiError, Kind, Meaning};

/// How long an answer may take before it is told.
const SLOW: Duration = Duration::from_secs(3);
/// By how much the clock may be off before it is told, and before sessions and
/// tokens end at the wrong time.
const OFF: u64 = 5;
const FAR_OFF: u64 = 60;
/// WeChat: invalid code. Nobody's code, and so the answer of a good account.
const GOOD: i64 = 40029;

/// What is looked at, taken out of the plan.
pub(super) struct Look {
    place: String,
    sandbox: bool,
    account: std::sync::Arc<LoginAccount>,
    bounds: Bounds,
    verify_files: usize,
    profile: bool,
}

impl Look {
    pub(super) fn new(planned: &PlannedAccount, plan: &Plan) -> Self {
        let account = &planned.account;
        let profile = plan.listed.iter().any(|route| {
            route.accounts.has(account) && route.scope == crate::wechat::Scope::Userinfo
        });
        Self {
            place: format!("accounts.{}", account.name.as_str()),
            sandbox: planned.sandbox,
            account: std::sync::Arc::clone(account),
            bounds: Bounds {
                connect: plan.limits.wechat_connect_timeout.get(),
                total: plan.limits.wechat_timeout.get(),
                calls: plan.limits.wechat_calls,
            },
            verify_files: planned.verify_files.len(),
            profile,
        }
    }

    pub(super) async fn examine(self) -> Report {
        let mut report = Report::default();
        self.shape(&mut report);
        match Api::new(self.bounds) {
            Ok(api) => self.ask(&api, &mut report).await,
            Err(error) => report.bad(
                &self.place,
                format!(
                    "no client for WeChat's api can be made ({}); are the system's certificates (ca-certificates) installed?",
                    reason(&error)
                ),
            ),
        }
        self.console(&mut report);
        report
    }

    fn shape(&self, report: &mut Report) {
        let found = self.account.wechat.app_id().as_str();
        if let Kind::WeCom(_) = self.account.wechat.kind() {
            let good = found.starts_with("ww") || found.starts_with("wx");
            let place = format!("{}.app_id", self.place);
            return match good {
                true => report.good(place, format!("{found} looks like a CorpID")),
                false => report.doubt(
                    place,
                    format!("found \"{found}\"; a real CorpID begins with ww, as WeCom's console shows it (我的企业 > 企业信息)"),
                ),
            };
        }
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let good = found
            .strip_prefix("wx")
            .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(hex));
        let place = format!("{}.app_id", self.place);
        let text = format!(
            "found \"{found}\"; a real AppID is wx and 16 of 0-9a-f, as WeChat's console shows it (基本配置)"
        );
        match (good, self.sandbox) {
            (true, _) => report.good(place, format!("{found} looks like an AppID")),
            (false, true) => report.doubt(place, text),
            (false, false) => report.bad(place, text),
        }
    }

    async fn ask(&self, api: &Api, report: &mut Report) {
        let mut first = true;
        for base in self.account.wechat.api_bases() {
            let setting = if first {
                "api_base_url"
            } else {
                "api_fallback_url"
            };
            let host = base.as_str();
            let place = format!("{}.{setting}", self.place);
            let probe = api.probe(&self.account.wechat, base).await;
            match &probe.answer {
                Err(ApiError::NotSent(why) | ApiError::NoAnswer(why) | ApiError::Late(why)) => {
                    let text = format!(
                        "{host} cannot be asked ({why}); see the machine's DNS, its firewall, and an outgoing proxy (HTTPS_PROXY)"
                    );
                    match first {
                        true => report.bad(place, text),
                        false => report.doubt(place, text),
                    }
                }
                Err(ApiError::Garbled(why)) => report.bad(
                    place,
                    format!(
                        "{host} answers with what is not WeChat's ({why}); is something in between?"
                    ),
                ),
                Ok(()) | Err(ApiError::Errcode { .. }) => {
                    report.good(
                        place,
                        format!("{host} answers in {} ms", probe.took.as_millis()),
                    );
                }
            }
            if probe.took > SLOW {
                let took = probe.took.as_secs();
                report.doubt(
                    format!("{}.{setting}", self.place),
                    format!(
                        "{host} took {took} s; logins take as long, limits.wechat_timeout bounds it"
                    ),
                );
            }
            if first {
                self.secret(&probe, report);
            }
            if let Some(date) = probe.date {
                clock(date, host, report);
            }
            first = false;
        }
    }

    /// What the answer to nobody's code tells of the account.
    fn secret(&self, probe: &Probe, report: &mut Report) {
        let place = format!("{}.app_secret", self.place);
        let (code, message) = match &probe.answer {
            Ok(()) => {
                return report.good(place, "WeCom knows the CorpID and takes the app's Secret");
            }
            Err(ApiError::Errcode { code, message }) => (code, message),
            Err(_) => {
                return report.doubt(place, "could not be tried, for WeChat did not answer");
            }
        };
        let rid = code.rid.as_deref().unwrap_or("none");
        let told = format!("errcode {} ({message}), rid {rid}", code.code);
        match code.meaning() {
            _ if code.code == GOOD => {
                report.good(place, "WeChat knows the AppID and takes the AppSecret");
            }
            Meaning::CodeSpent => report.good(place, format!("WeChat takes both: {told}")),
            Meaning::AppIdWrong => report.bad(
                format!("{}.app_id", self.place),
                format!("{told}; {}", code.advice()),
            ),
            Meaning::Busy | Meaning::MinuteQuota | Meaning::DailyQuota => {
                report.doubt(
                    place,
                    format!("could not be tried: {told}; {}", code.advice()),
                );
            }
            _ => report.bad(place, format!("{told}; {}", code.advice())),
        }
    }

    fn console(&self, report: &mut Report) {
        let origin = self.account.wechat.callback_origin();
        let port = origin
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        match self.account.wechat.kind() {
            Kind::Official => {}
            Kind::Website => {
                return report.look(
                    "微信开放平台",
                    format!(
                        "授权回调域 of the website (open.weixin.qq.com, 管理中心 > 网站应用) must be exactly {}{port}, without a scheme",
                        origin.host()
                    ),
                );
            }
            Kind::WeCom(agent) => return self.corp_console(agent, &port, report),
        }
        let place = "WeChat's console";
        report.look(
            place,
            format!(
                "网页授权域名 must be exactly {}{port}, without a scheme; else visitors see error 10003",
                origin.host()
            ),
        );
        if self.profile {
            report.look(
                place,
                "routes with scope snsapi_userinfo need a verified 服务号 with 网页授权 in 接口权限; else visitors see error 10005",
            );
        }
        if self.verify_files == 0 {
            report.look(
                place,
                format!(
                    "if it asks for a file MP_verify_….txt, name it in {}.verify_files: it is served then",
                    self.place
                ),
            );
        }
    }
}

impl Look {
    fn corp_console(&self, agent: AgentId, port: &str, report: &mut Report) {
        let (place, host) = (
            "WeCom's console",
            self.account.wechat.callback_origin().host(),
        );
        report.look(
            place,
            format!("应用管理 > the app {agent} > 网页授权及JS-SDK: 可信域名 must be exactly {host}{port}, without a scheme; else members see an error"),
        );
        report.look(
            place,
            "the app's 企业可信IP must hold this machine's outgoing address; else WeCom answers 60020 where a visitor logs in",
        );
        if self.verify_files == 0 {
            report.look(
                place,
                format!(
                    "if it asks for a file WW_verify_….txt, name it in {}.verify_files: it is served then",
                    self.place
                ),
            );
        }
    }
}

fn clock(date: SystemTime, host: &str, report: &mut Report) {
    let now = SystemTime::now();
    let off = now
        .duration_since(date)
        .or_else(|_| date.duration_since(now))
        .unwrap_or_default()
        .as_secs();
    let text = format!(
        "{off} s off from {host}'s; sessions and tokens end by it: let the system keep it right (NTP)"
    );
    match off {
        0..=OFF => report.good("clock", format!("agrees with {host}'s")),
        _ if off <= FAR_OFF => report.doubt("clock", text),
        _ => report.bad("clock", text),
    }
}
