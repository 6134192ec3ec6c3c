//! What of a status somebody should look at, in words.
//!
//! Holds always: what is over is not told any more.

use std::time::Duration;

use super::status::{Status, WeChatError};

/// From when on a certificate's end is worth a word.
const SOON: Duration = Duration::from_secs(30 * 86_400);
/// For how long after it last happened an error of WeChat's is.
const RECENT: Duration = Duration::from_secs(3600);

impl Status {
    /// A line for each.
    pub(super) fn what_to_look_at(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.draining {
            all.push("The gateway is being stopped. 正在停止".to_owned());
        }
        if let Some(trouble) = &self.store.trouble {
            all.push(format!("Store 存储: {trouble}"));
        }
        if !self.store.revocations_known {
            all.push(
                "It is not known yet which sessions have ended: nobody is let in. 尚不知道哪些会话已失效，暂不放行"
                    .to_owned(),
            );
        }
        for account in &self.accounts {
            if account.circuit_open {
                all.push(format!(
                    "Account {} 公众号: its quota at WeChat is used up, and logins are held back. 接口调用额度已用完",
                    account.account
                ));
            }
            let recent = |error: &&WeChatError| error.last + RECENT.as_secs() > self.now;
            for error in account.wechat_errors.iter().filter(recent) {
                if let Some(advice) = error.advice.filter(|_| error.is_operators) {
                    all.push(format!(
                        "Account {} 公众号: WeChat answers {}: {}",
                        account.account, error.errcode, advice
                    ));
                }
            }
        }
        for app in &self.apps {
            let down = app.peers.iter().filter(|peer| !peer.up);
            all.extend(
                down.map(|peer| {
                    format!("App {} 应用: {} is down. 不可用", app.upstream, peer.peer)
                }),
            );
        }
        for certificate in &self.certificates {
            if certificate.expires < self.now + SOON.as_secs() {
                all.push(format!(
                    "Certificate of {} 证书: {} days left. 即将到期",
                    certificate.hosts, certificate.days_left
                ));
            }
        }
        if let Some(mistake) = &self.config.mistake {
            all.push(format!(
                "gateway.toml was changed and is not served as it stands. 配置未生效: {}",
                mistake.message.replace('\n', "; ")
            ));
        }
        if !self.config.waits_for_restart.is_empty() {
            all.push(format!(
                "Waits for a restart 需重启生效: {}",
                self.config.waits_for_restart.join(", ")
            ));
        }
        all
    }
}
