//! `wxgate explain`: its arguments, and what it prints.
//!
//! Holds always: what is asked about exits with 0, a refusal too; 78 is for
//! `gateway.toml`, 2 for what is no request.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use clap::Args;
use http::{HeaderName, HeaderValue, Method, header};
use wxgate::explain::{Address, Failure, Question, explain};

use super::{ConfigFile, fail, load, runtime, say};

/// What WeChat's browser calls itself.
const WECHAT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 MicroMessenger/8.0.60";
/// What WeCom's does.
const WECOM: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 wxwork/4.1.36 MicroMessenger/7.0.1";
/// What another does.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64)";
/// What a browser accepts when it opens a page.
const PAGE: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The request that is asked about.
#[derive(Args)]
pub(super) struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// The method.
    #[arg(value_name = "METHOD", value_parser = method)]
    method: Method,
    /// The address, as a visitor's browser would send it; nothing in it is tidied.
    #[arg(value_name = "URL")]
    url: Address,
    /// A Cookie header's value; "-" reads it from standard input, where no other user of the machine sees it.
    #[arg(long, value_name = "LINE")]
    cookie: Option<String>,
    /// Another header, as 'Name: value'; may be given several times. A GET asks for a page unless Accept is given.
    #[arg(long, value_name = "NAME: VALUE", value_parser = field)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// What the browser calls itself.
    #[arg(long, value_name = "TEXT", value_parser = text, conflicts_with_all = ["inside_wechat", "inside_wecom"])]
    user_agent: Option<HeaderValue>,
    /// The browser is WeChat's own.
    #[arg(long)]
    inside_wechat: bool,
    /// The browser is WeCom's (企业微信).
    #[arg(long, conflicts_with = "inside_wechat")]
    inside_wecom: bool,
    /// Where the connection comes from: with the address of a trusted proxy, its X-Forwarded-* are believed.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))]
    from: IpAddr,
    /// Say who the visitor is, instead of the beginning of it.
    #[arg(long)]
    show_openid: bool,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

fn method(given: &str) -> Result<Method, String> {
    Method::from_bytes(given.as_bytes()).map_err(|_| "expected a method, such as GET".to_owned())
}

fn text(given: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(given.as_bytes())
        .map_err(|_| "expected a text that can stand in a header".to_owned())
}

fn field(given: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = given
        .split_once(':')
        .ok_or_else(|| "expected 'Name: value'".to_owned())?;
    let name = HeaderName::from_bytes(name.trim().as_bytes())
        .map_err(|_| format!("\"{name}\" is no header name"))?;
    Ok((name, text(value.trim())?))
}

pub(super) fn run(arguments: Explain) -> ExitCode {
    let json = arguments.json;
    let plan = match load(&arguments.file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let question = match question(arguments) {
        Ok(question) => question,
        Err(why) => return misused(&why),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    match runtime.block_on(explain(plan, question)) {
        Ok(explanation) if json => {
            say(&format!("{:#}\n", explanation.json()));
            ExitCode::SUCCESS
        }
        Ok(explanation) => {
            say(&explanation.to_string());
            ExitCode::SUCCESS
        }
        Err(why @ Failure::Request(_)) => misused(&why.to_string()),
        Err(why @ Failure::Gateway(_)) => fail(why),
    }
}

fn misused(why: &str) -> ExitCode {
    eprintln!("wxgate: {why}");
    ExitCode::from(2)
}

fn question(arguments: Explain) -> Result<Question, String> {
    let mut headers = arguments.header;
    let has = |headers: &[(HeaderName, HeaderValue)], name: &HeaderName| {
        headers.iter().any(|(found, _)| found == name)
    };
    let agent = match (arguments.user_agent, arguments.inside_wechat) {
        (Some(agent), _) => Some(agent),
        (None, true) => Some(HeaderValue::from_static(WECHAT)),
        (None, false) if arguments.inside_wecom => Some(HeaderValue::from_static(WECOM)),
        (None, false) if has(&headers, &header::USER_AGENT) => None,
        (None, false) => Some(HeaderValue::from_static(BROWSER)),
    };
    headers.extend(agent.map(|agent| (header::USER_AGENT, agent)));
    let reads = matches!(arguments.method, Method::GET | Method::HEAD);
    if reads && !has(&headers, &header::ACCEPT) {
        headers.push((header::ACCEPT, HeaderValue::from_static(PAGE)));
    }
    if let Some(mut line) = arguments.cookie {
        if line == "-" {
            line.clear();
            std::io::stdin()
                .read_to_string(&mut line)
                .map_err(|error| format!("standard input cannot be read: {error}"))?;
        }
        headers.push((header::COOKIE, text(line.trim())?));
    }
    Ok(Question {
        method: arguments.method,
        address: arguments.url,
        headers,
        from: arguments.from,
        show_openid: arguments.show_openid,
    })
}
