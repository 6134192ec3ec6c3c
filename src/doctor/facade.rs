//! The facade, as the apps that do OAuth themselves find it: whether its host leads
//! here, and whether the apps' own hosts can be found.
//!
//! The apps are not asked anything: a browser takes codes to them, and perhaps from
//! where this machine is they cannot be reached.

use http::{StatusCode, header};
use reqwest::{Client, Response};
use serde_json::Value;

use super::origin::{addresses, is_private, why};
use super::{Report, client};
use crate::config::Plan;
use crate::origin::PublicOrigin;

/// WeChat: access_token missing. Asked without one, it is the facade's answer too.
const NO_TOKEN: i64 = 41001;

/// What is looked at.
pub(super) enum Look {
    /// The facade's own host, as browsers and the apps' servers see it.
    Host(PublicOrigin),
    /// Where an app takes its codes.
    App {
        /// Its name.
        name: String,
        /// The origin.
        back: PublicOrigin,
    },
}

/// All of the facade in `plan`, if there is one.
pub(super) fn looks(plan: &Plan) -> Vec<Look> {
    let Some(facade) = &plan.facade else {
        return Vec::new();
    };
    let host = Look::Host(plan.routes.origin(&facade.host));
    let apps = facade.apps.iter().flat_map(|app| {
        app.origins.iter().map(|back| Look::App {
            name: app.name.as_str().to_owned(),
            back: back.clone(),
        })
    });
    std::iter::once(host).chain(apps).collect()
}

impl Look {
    pub(super) async fn examine(self) -> Report {
        let mut report = Report::default();
        match self {
            Self::Host(origin) => host(&origin, &mut report).await,
            Self::App { name, back } => app(&name, &back, &mut report).await,
        }
        report
    }
}

async fn host(origin: &PublicOrigin, report: &mut Report) {
    let place = format!("facade.host {}", origin.as_str());
    let name = origin.host();
    match addresses(name).await {
        Err(why) => return report.bad(place, why),
        Ok(found) => match found.iter().find(|address| is_private(address)) {
            Some(address) => report.doubt(
                &place,
                format!("{name} leads to {address}, which nobody outside can reach: visitors are sent there to log in; expected a public address in DNS"),
            ),
            None => report.good(&place, format!("{name} has a public address")),
        },
    }
    let client = match client().build() {
        Ok(client) => client,
        Err(error) => {
            return report.bad(place, format!("no client can be made ({})", why(error)));
        }
    };
    match is_here(&client, origin).await {
        Ok(()) => report.good(&place, "answered by a wxgate that calls itself so"),
        Err(why) => return report.bad(place, why),
    }
    match is_face(&client, origin).await {
        Ok(()) => report.good(place, "answers the apps' servers as WeChat does"),
        Err(why) => report.bad(place, why),
    }
}

async fn get(client: &Client, origin: &PublicOrigin, path: &str) -> reqwest::Result<Response> {
    let url = format!("{}{path}", origin.as_str());
    let request = client.get(url).header(header::ACCEPT, "application/json");
    request.send().await
}

/// Whether a wxgate answers that logs visitors in at `origin`.
async fn is_here(client: &Client, origin: &PublicOrigin) -> Result<(), String> {
    let response = get(client, origin, "/.wxgate/me").await.map_err(|error| {
        format!(
            "does not answer from here ({}); the apps' visitors and servers come to it: start wxgate and what stands in front, and see \
             the certificate",
            why(error)
        )
    })?;
    let (status, told) = told(response).await;
    let login = told
        .as_ref()
        .and_then(|told| told.get("login_url")?.as_str());
    match login.and_then(|login| login.split_once("/.wxgate/")) {
        Some((itself, _)) if itself == origin.as_str() => Ok(()),
        Some((itself, _)) => Err(format!(
            "the gateway there calls itself {itself}: expected server.public_scheme to be what visitors see, and the proxy in front to keep Host"
        )),
        None => Err(format!(
            "answers {status}, not as a wxgate with this facade: expected its name to lead here, the proxy in front to send all of it on, \
             with the visitor's Host, and this file to be in use"
        )),
    }
}

/// Whether an app's server would be answered there.
async fn is_face(client: &Client, origin: &PublicOrigin) -> Result<(), String> {
    let path = "/sns/auth";
    let expected = "expected the proxy in front to send every path of this host here, and this file to be in use";
    let response = get(client, origin, path).await;
    let response =
        response.map_err(|error| format!("{path} is not answered ({}): {expected}", why(error)))?;
    let (status, told) = told(response).await;
    let errcode = told.as_ref().and_then(|told| told.get("errcode")?.as_i64());
    match (status, errcode) {
        (StatusCode::OK, Some(NO_TOKEN)) => Ok(()),
        _ => Err(format!(
            "{path} is answered {status}, and not with WeChat's JSON: {expected}"
        )),
    }
}

async fn told(response: Response) -> (StatusCode, Option<Value>) {
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    (status, serde_json::from_str(&body).ok())
}

async fn app(name: &str, back: &PublicOrigin, report: &mut Report) {
    let place = format!("facade.apps {name}");
    let host = back.host();
    match addresses(host).await {
        Ok(_) => report.good(place, format!("{host} has an address")),
        Err(why) => report.doubt(
            place,
            format!("{why}; browsers take the app's codes to {}", back.as_str()),
        ),
    }
}
