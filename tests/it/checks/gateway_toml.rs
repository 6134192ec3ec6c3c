//! `gateway.toml`, whatever somebody wrote into it.

use std::path::Path;

use wxgate::config::Plan;

/// No word of anybody's.
const SECRET: &str = "c0ffee5ec2e7c0ffee5ec2e7c0ffee5e";

/// `data`: the file; and the beginning of one that ends with a secret in the
/// wrong place.
pub fn gateway_toml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // A file of devices may have no end.
    if ["dev", "proc", "sys"].iter().any(|dir| text.contains(dir)) || text.contains(SECRET) {
        return;
    }
    parse(&text);
    for wrong in [
        format!("[accounts.shop]\napp_secret = \"{SECRET}\""),
        format!("[accounts.shop]\napp_secret = {SECRET}"),
        format!("[accounts.shop]\napp_secret = '{SECRET}"),
        format!("[accounts.shop]\napp_secret = [\"{SECRET}\"]"),
        format!("[accounts]\nclub.app_secret = \"{SECRET}\""),
        format!("[accounts.shop]\napp_secrets = \"{SECRET}\""),
        format!("[session]\nkeys = \"{SECRET}\""),
        format!("[session]\nkeys = [\"{SECRET}\"]"),
        format!("[session]\nkeys = [{{ env = \"PATH\" }}, \"{SECRET}\"]"),
        format!("[session]\nkey = \"{SECRET}\""),
        format!("[accounts]\nclub = \"{SECRET}\""),
        format!("[server]\nthreads = \"{SECRET}\""),
        format!("# {SECRET}"),
    ] {
        let said = parse(&format!("{text}\n{wrong}"));
        assert!(!said.contains(SECRET), "{wrong}: {said}");
    }
}

/// What is said of `text`: of no line that it does not have, and never nothing.
fn parse(text: &str) -> String {
    let mistakes = match Plan::parse(Path::new("gateway.toml"), text) {
        Ok(plan) => {
            assert!(!plan.listed.is_empty() && !plan.server.listen.get_ref().is_empty());
            return plan.warnings().concat();
        }
        Err(mistakes) => mistakes,
    };
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    assert!(mistakes.iter().count() > 0, "refused without a reason");
    for mistake in mistakes.iter() {
        assert!(mistake.line <= lines && !mistake.message.is_empty());
    }
    format!("{mistakes}{mistakes:?}")
}
